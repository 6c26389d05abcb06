/** Black and white lists: what a line asks for, files of entries, how lists are printed and saved. */
import type { Input } from '../../control/client.js';
import type { AclEntry } from '../../control/results.js';
import { badRange, RangeReader } from '../../wire/range.js';
import { UsageError } from '../errors.js';
import { compact } from '../values.js';
import type { Action } from './action.js';
import { serviceOf, serviceTitle, serviceWords } from './endpoint.js';
import { EXIT_USAGE } from './exit.js';
import type { Given } from './fields.js';

/** Entries of one page of a list, of one part of a load, of one line of --save. */
export const LIST_PAGE = 10_000;
export const LOAD_PART = 20_000;
const SAVED = 500;
/** Lines of a file that are complained about. */
const COMPLAINTS = 10;

const fail = (message: string): UsageError => new UsageError(message, EXIT_USAGE);
const refusal = (text: string): string => {
  const { message, hint } = badRange(text);
  return `${message} (${hint})`;
};

/** `-U`, `-V`, `-O`, `-Y`. @throws UsageError */
export function listAction(command: string, options: Given): Action {
  const option = command.slice(4);
  const list = option === 'blklst' ? ('black' as const) : ('white' as const);
  const adds = command.startsWith('add-');
  const params = compact({ svc: serviceOf(options), list }) as { list: typeof list } & Pick<
    Input<'acl.add'>,
    'svc'
  >;
  const file = options.get('file');
  const text = options.get(option);
  if ((file === undefined) === (text === undefined))
    throw fail(`You need to supply the '${option}' or the 'file' option for the '${command}' command`);
  const method = adds ? 'acl.add' : 'acl.del';
  if (file !== undefined) return { kind: 'load', method, list: params, file };
  if (text === 'all' && !adds) return { kind: 'request', method: 'acl.flush', params };
  const entries = text!.split(',');
  const reader = new RangeReader();
  for (const e of entries) if (reader.read(e) >= 0) throw fail(`illegal ${list} list entry: ${refusal(e)}`);
  return { kind: 'request', method, params: { ...params, entries } };
}

/**
 * The entries of a file: one a line, `#` or `;` begins a comment.
 * @throws UsageError with `file:line:column` of the first wrong ones
 */
export function readEntries(text: string, file: string): string[] {
  const reader = new RangeReader();
  const out: string[] = [];
  const wrong: string[] = [];
  eachEntry(text, (entry, line, column) => {
    const at = reader.read(entry);
    if (at < 0) out.push(entry);
    else if (wrong.length < COMPLAINTS) wrong.push(`${file}:${line}:${column + at}: ${refusal(entry)}`);
  });
  if (wrong.length > 0) throw fail(wrong.join('\n'));
  return out;
}

/** `line:column` of an entry in a file: of the second one when it is there twice. */
export function whereIs(text: string, wanted: string): string | undefined {
  let found: string | undefined;
  let n = 0;
  eachEntry(text, (entry, line, column) => {
    if (entry === wanted && ++n <= 2) found = `${line}:${column}`;
  });
  return found;
}

function eachEntry(text: string, each: (entry: string, line: number, column: number) => void): void {
  for (let at = 0, line = 1; at < text.length; line++) {
    let end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    const source = text.slice(at, end);
    const comment = source.search(/[#;]/);
    const entry = (comment < 0 ? source : source.slice(0, comment)).trim();
    if (entry !== '') each(entry, line, source.indexOf(entry) + 1);
    at = end + 1;
  }
}

const row = (proto: string, service: string, entry: string): string =>
  `${proto.padEnd(8)} ${service.padEnd(30)} ${entry.padEnd(30)}`.trimEnd() + '\n';

export const LIST_TITLE = {
  black: row('PROTO', 'VIP:VPORT', 'BLACKLIST'),
  white: row('PROTO', 'VIP:VPORT', 'WHITELIST'),
};

export function formatListEntry({ svc, entry }: AclEntry): string {
  if (svc === undefined) return row('ALL', '*', entry);
  const [proto, ...name] = serviceTitle(svc).split(/\s+/);
  return row(proto!, name.join(' '), entry);
}

/** Lines for --restore. */
export function savedLists(entries: readonly AclEntry[]): string {
  const byList = new Map<string, string[]>();
  for (const { svc, list, entry } of entries) {
    const [command, option] = list === 'black' ? ['-U', '-k'] : ['-O', '-2'];
    const key = [command, ...(svc === undefined ? [] : [serviceWords(svc)]), option].join(' ');
    const own = byList.get(key);
    if (own === undefined) byList.set(key, [entry]);
    else own.push(entry);
  }
  const lines: string[] = [];
  for (const [key, all] of byList)
    for (let i = 0; i < all.length; i += SAVED) lines.push(`${key} ${all.slice(i, i + SAVED).join(',')}\n`);
  return lines.join('');
}
