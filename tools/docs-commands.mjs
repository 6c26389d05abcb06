#!/usr/bin/env node
/** Writes docs/commands.md from the declarations of the tools and of the control socket. Needs dist/. */
import { writeFileSync } from 'node:fs';
import { commandsPage } from '../dist/cli/docs.js';

writeFileSync(new URL('../docs/commands.md', import.meta.url), commandsPage());
