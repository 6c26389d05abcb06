#!/usr/bin/env node
// Writes docs/configuration.md and conf/dpvs.conf.items from the table of configuration items (build dist/ first).
// The text before the tables of docs/configuration.md, up to the marker, is written by hand and kept.
import { readFileSync, writeFileSync } from 'node:fs';
import { itemsFile, referencePage } from '../dist/config/reference.js';

const page = new URL('../docs/configuration.md', import.meta.url);
const MARKER =
  '<!-- made from src/config/items.ts by tools/docs-config.mjs: what follows is overwritten -->\n';
const [intro] = readFileSync(page, 'utf8').split(MARKER);

writeFileSync(page, referencePage(intro + MARKER));
writeFileSync(new URL('../conf/dpvs.conf.items', import.meta.url), itemsFile());
