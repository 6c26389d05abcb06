/**
 * docs/commands.md, made from the declarations: the tables of the tools and the schemas of the control socket.
 * Used by tools/docs-commands.mjs only (this loads zod, which no tool may).
 */
import * as z from 'zod';
import { BATCH, COMMANDS, QUERIES } from '../control/schema.js';
import { SCHEDULERS } from '../ipvs/sched/index.js';
import { ERRORS } from '../core/errors.js';
import { parameters as parametersOf, usageLines } from './dpip/help.js';
import { LATER_OBJECTS, OBJECTS, OPTIONS as DPIP_OPTIONS } from './dpip/main.js';
import { OPTIONS as DPVS_OPTIONS, usage as dpvsUsage } from './dpvs/main.js';
import { usageLine } from './ipvsadm/help.js';
import { COMMANDS as IPVS_COMMANDS, OPTIONS as IPVS_OPTIONS } from './ipvsadm/options.js';
import { isSupported, optionLabel, type OptionSpec } from './options.js';

/** The whole page. */
export function commandsPage(): string {
  return [HEAD, dpvs(), dpip(), ipvsadm(), socket()].join('\n');
}

const HEAD = `# Commands

<!-- made by tools/docs-commands.mjs from src/cli and src/control/schema.ts: do not edit -->

Three programs: [\`dpvs\`](#dpvs) is the daemon, [\`dpip\`](#dpip) configures devices, addresses, routes and neighbours,
[\`ipvsadm\`](#ipvsadm) services and real servers. The tools talk to the daemon through the
[control socket](#control-socket) \`/var/run/dpvs.ipc\`; the environment variable \`DPVS_IPC_FILE\` picks another one.

A tool that finds no daemon says \`dpvs is not running (no socket at …)\` and exits with 2.
`;

const code = (text: string): string => `\`${text}\``;
const block = (lines: readonly string[]): string => `\`\`\`\n${lines.join('\n')}\n\`\`\`\n`;
const cell = (text: string): string => text.replaceAll('|', '\\|');

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |\n`;
  return line(headings) + line(headings.map(() => '---')) + rows.map(line).join('');
}

const optionTable = (options: readonly OptionSpec[]): string =>
  table(
    ['option', 'meaning'],
    options.map((o) => [code(optionLabel(o)), o.doc]),
  );

function dpvs(): string {
  return `## dpvs

${block(
  dpvsUsage()
    .split('Options:')[0]!
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((l) => l.trim()),
)}
${optionTable(DPVS_OPTIONS)}
\`--check\` prints everything that is wrong with the file, each as \`file:line:column\`, and exits with 1; else with 0.
`;
}

function dpip(): string {
  const objects = OBJECTS.map((object) => {
    const words = parametersOf(object);
    return `### dpip ${object.name}: ${object.doc}

${block(usageLines(object))}
${table(
  ['command', 'meaning'],
  object.verbs.map((v) => [code(v.name), v.doc]),
)}${
      words.length === 0
        ? ''
        : `\n${table(
            ['parameter', 'meaning'],
            words.map(([word, doc]) => [code(word), doc]),
          )}`
    }`;
  });
  return `## dpip

${block(['dpip [OPTIONS] OBJECT { COMMAND | help }'])}
Options may stand anywhere on the line. Objects and commands may be abbreviated (\`dpip a sh\`); \`list\` is the same as
\`show\`, \`change\` as \`set\`, \`delete\` as \`del\`. Exit code 0, or 1 with a line \`dpip: …\` on standard error. With \`-j\` an
error is also printed as JSON on standard output. Not supported yet: ${LATER_OBJECTS.map(code).join(', ')}, IPv6.

${optionTable(DPIP_OPTIONS)}
${objects.join('\n')}`;
}

function ipvsadm(): string {
  const commands = IPVS_COMMANDS.filter(isSupported);
  const all = [...IPVS_COMMANDS, ...IPVS_OPTIONS];
  const later = all.filter((o) => o.later);
  const refused = all.filter((o) => o.refused !== undefined);
  return `## ipvsadm

${block(commands.map(usageLine))}
The first argument is the command; no argument at all lists everything. Short letters combine: \`-ln\`, \`-At HOST:PORT\`.
Addresses and ports are always printed as numbers, with and without \`-n\`.

Exit code 0; 2 for a wrong line and without a daemon; 255 for an unknown option; otherwise the error of the daemon
modulo 256, see [errors](#errors).

${table(
  ['command', 'meaning'],
  commands.map((c) => [code(optionLabel(c)), c.doc]),
)}
${optionTable(IPVS_OPTIONS.filter(isSupported))}
Known, but not supported yet: ${later.map((o) => code(`--${o.name}`)).join(', ')}.

${table(
  ['not supported', 'because'],
  refused.map((o) => [code(`--${o.name}`), o.refused!]),
)}
### Schedulers

${table(
  ['scheduler', 'meaning', 'flags'],
  SCHEDULERS.map((s) => [code(s.name), s.text, (s.flags ?? []).map(code).join(', ')]),
)}
Real servers with weight 0 and those at their connection limit get no new connections; running ones go on.
`;
}

function socket(): string {
  const section = (title: string, schemas: Record<string, z.ZodType>): string =>
    `### ${title}\n\n${Object.entries(schemas)
      .map(([name, schema]) => method(name, schema))
      .join('\n')}`;
  return `## Control socket

A Unix stream socket, mode 0660. [JSON-RPC 2.0](https://www.jsonrpc.org/specification), one message per line of at most
1 MiB. Many clients may be connected, and a client may send several requests at once. Addresses and MACs are text.
A command is applied everywhere or nowhere. What queries answer is typed in \`src/control/results.ts\`.

${block([
  '$ echo \'{"jsonrpc":"2.0","id":1,"method":"svc.list","params":{}}\' | socat - UNIX:/var/run/dpvs.ipc',
  '{"jsonrpc":"2.0","id":1,"result":[…]}',
])}
${section('Commands', { ...COMMANDS, ...BATCH })}
${section('Queries', QUERIES)}
### Errors

\`error.data\` is \`{ code, errno, message, hint }\`.

${table(
  ['code', 'errno', 'exit code of ipvsadm', 'text'],
  Object.entries(ERRORS).map(([name, { errno, text }]) => [
    code(name),
    String(errno),
    String(errno & 0xff),
    text,
  ]),
)}`;
}

interface JsonSchema {
  type?: string;
  enum?: string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
}

function method(name: string, schema: z.ZodType): string {
  const json = z.toJSONSchema(schema, { io: 'input', reused: 'inline' }) as JsonSchema;
  const rows = parameters(json);
  const doc = json.description === undefined ? '' : `: ${json.description}`;
  return `**${code(name)}**${doc}\n\n${
    rows.length === 0 ? 'No parameters.\n' : table(['parameter', 'type', 'default', 'meaning'], rows)
  }`;
}

/** One row per leaf; nested objects as `svc.addr`. */
function parameters({ properties = {}, required = [] }: JsonSchema, path = '', within?: string): string[][] {
  return Object.entries(properties).flatMap(([name, p]) => {
    const needed = required.includes(name);
    if (p.properties) return parameters(p, `${path}${name}.`, needed ? within : code(path + name));
    const must = within === undefined ? 'required' : `required with ${within}`;
    const optional = needed ? must : p.default === undefined ? '' : JSON.stringify(p.default);
    return [[code(`${path}${name}`), typeOf(p), optional, p.description ?? '']];
  });
}

function typeOf({ type, enum: words, minimum, maximum }: JsonSchema): string {
  if (words) return words.map(code).join(' | ');
  return minimum !== undefined && maximum !== undefined ? `${type} ${minimum}…${maximum}` : (type ?? '');
}
