/** Texts made from the table of items: docs/configuration.md and conf/dpvs.conf.items. See tools/docs-config.mjs. */
import { ITEMS, NAMED_BLOCKS, SECTIONS, type Item } from './items.js';
import { SCHEMA, type Key } from './schema.js';
import { describeType, type Value } from './values.js';

const EFFECT = {
  now: '',
  later: 'Known and checked, no effect yet.',
  never: 'Accepted for compatibility, no effect.',
  obsolete: 'Obsolete, ignored.',
} as const;

// ---------------------------------------------------------------------------------------------
// docs/configuration.md

/** @param intro text before the tables, in Markdown */
export function referencePage(intro: string): string {
  return [intro.trimEnd(), '', ...SECTIONS.flatMap(sectionPage)].join('\n').trimEnd() + '\n';
}

function sectionPage({ path, doc }: { path: string; doc: string }): string[] {
  const out = [`## ${path}`, '', doc, ''];
  // One table for each block, in the order of the items.
  const blocks = new Map<string, Item[]>();
  for (const item of ITEMS) {
    if (!item.path.startsWith(`${path}/`)) continue;
    const block = blockOf(item.path);
    blocks.set(block, [...(blocks.get(block) ?? []), item]);
  }
  for (const [block, items] of blocks) {
    if (block !== path) out.push(`### ${block}`, '');
    const named = NAMED_BLOCKS.find((b) => b.path === block);
    if (named !== undefined)
      out.push(`${named.doc}${named.effect === 'later' ? ` ${EFFECT.later}` : ''}`, '');
    out.push('| key | values | default | changes | |', '| --- | --- | --- | --- | --- |');
    out.push(...items.map(itemRow), '');
  }
  return out;
}

function itemRow(item: Item): string {
  const values =
    item.type.kind === 'text'
      ? `${item.type.what}, such as \`${item.type.example}\``
      : code(describeType(item.type));
  const unit = item.unit === undefined ? '' : ` ${item.unit}`;
  const fallback = item.required
    ? 'needed'
    : item.default === undefined
      ? ''
      : code(showValue(item, item.default));
  const marks = [item.doc, ...(item.repeat ? ['May be repeated.'] : []), EFFECT[item.effect]].filter(
    (t) => t !== '',
  );
  const cells = [
    code(item.path.split('/').at(-1)!),
    values + unit,
    fallback,
    item.effect === 'obsolete' ? '' : item.init ? 'at start' : 'on reload',
    marks.join(' '),
  ];
  return `| ${cells.map((c) => c.replaceAll('|', '\\|')).join(' | ')} |`;
}

const code = (text: string): string => (text === '' ? '' : `\`${text}\``);
const blockOf = (path: string): string => path.split('/').slice(0, -1).join('/');

// ---------------------------------------------------------------------------------------------
// conf/dpvs.conf.items

/** Names and values that stand for what has no default. */
const EXAMPLES: Readonly<Record<string, string>> = {
  'netif_defs/device NAME': 'dpdk0',
  'netif_defs/bonding NAME': 'bond0',
  'worker_defs/worker NAME': 'cpu1',
  'worker_defs/worker NAME/port NAME': 'dpdk0',
  'global_defs/log_level': 'INFO',
  'global_defs/log_format': 'json',
  'netif_defs/fdir_mode': 'perfect',
  'netif_defs/device NAME/devargs': '"0000:06:00.0"',
  'netif_defs/device NAME/rx/queue_number': '1',
  'netif_defs/device NAME/rx/rss': 'all',
  'netif_defs/device NAME/tx/queue_number': '1',
  'netif_defs/device NAME/fdir/filter': 'on',
  'netif_defs/device NAME/fdir/mode': 'perfect',
  'netif_defs/device NAME/fdir/pballoc': '64k',
  'netif_defs/device NAME/fdir/status': 'matched',
  'netif_defs/bonding NAME/mode': '4',
  'netif_defs/bonding NAME/slave': 'dpdk0',
  'netif_defs/bonding NAME/primary': 'dpdk0',
  'netif_defs/bonding NAME/kni_name': 'bond0.kni',
  'netif_defs/bonding NAME/options': 'dedicated_queues=on',
  'worker_defs/worker NAME/cpu_id': '1',
  'worker_defs/worker NAME/port NAME/rx_queue_ids': '0',
  'worker_defs/worker NAME/port NAME/tx_queue_ids': '0',
  'worker_defs/worker NAME/port NAME/isol_rx_cpu_ids': '2',
  'neigh_defs/pktpool_size': '1023',
  'neigh_defs/pktpool_cache': '32',
  'ipv6_defs/route6/lpm/rt6_array_size': '65536',
  'ctrl_defs/lcore_msg/bucket_number': '256',
  'ctrl_defs/lcore_msg/multicast_queue_length': '256',
  'ctrl_defs/ipc_msg/unix_domain': '/var/run/dpvs_ctrl',
};

/** What would not be a default if it were said. */
const COMMENTS = [
  'global_defs/log_level',
  'global_defs/log_file',
  'global_defs/log_format',
  'global_defs/idle_sleep',
  'netif_defs/device NAME/devargs',
];

const HEAD = `! Every key of dpvs.conf, with its default (or an example) and, in <…>, its values.
! Made from src/config/items.ts by tools/docs-config.mjs; docs/configuration.md explains each key.
!
! <init>: read at start only; the others change on reload too.
! Lines that begin with '!' are examples, are off by default, or have no effect (yet).
`;

/** A file with every key: as a configuration it says nothing but defaults, for one port and one worker. */
export function itemsFile(): string {
  const lines = [HEAD];
  for (const section of SECTIONS) {
    lines.push(`! ${section.doc.split('. ')[0]!.replace(/\.$/, '')}.`);
    blockLines(SCHEMA.children.get(section.path)!, '', lines);
    lines.push('');
  }
  return lines.join('\n').trimEnd() + '\n';
}

/** @param indent in front of the block; a '!' in it makes all of it a comment */
function blockLines(key: Key, indent: string, out: string[]): void {
  const name = key.named === undefined ? '' : ` ${EXAMPLES[key.path]}`;
  if (key.path === 'worker_defs/worker NAME') {
    out.push(
      `${indent}<init> worker cpu0 {`,
      `${indent}    type    master`,
      `${indent}    cpu_id  0`,
      `${indent}}`,
    );
  }
  const off = !indent.includes('!') && isOff(key);
  const front = off ? `${indent}! ` : indent;
  out.push(`${front}${key.named === undefined ? '' : '<init> '}${key.keyword}${name} {`);
  const inner = `${front}    `;
  for (const child of key.children.values()) {
    if (child.item === undefined) blockLines(child, inner, out);
    else out.push(itemLine(child.item, inner));
  }
  out.push(`${front}}`);
}

/** True when nothing in the block is worth saying by default. */
function isOff(key: Key): boolean {
  if (key.named !== undefined) return key.named.effect !== 'now';
  return [...key.children.values()].every((c) => (c.item === undefined ? isOff(c) : isComment(c.item)));
}

function isComment(item: Item): boolean {
  const said = item.default !== undefined || item.path in EXAMPLES;
  return (
    item.effect !== 'now' ||
    !said ||
    COMMENTS.includes(item.path) ||
    (item.type.kind === 'flag' && item.default !== true)
  );
}

function itemLine(item: Item, indent: string): string {
  const keyword = item.path.split('/').at(-1)!;
  const value = EXAMPLES[item.path] ?? exampleValue(item);
  const comment = !indent.includes('!') && isComment(item) ? '! ' : '';
  const text = `${indent}${comment}${item.init ? '<init> ' : ''}${keyword}${value === '' ? '' : ` ${value}`}`;
  const shown = item.default === undefined ? '' : showValue(item, item.default);
  const fallback = shown === '' ? '' : `${shown}; `;
  const unit = item.unit === undefined ? '' : ` ${item.unit}`;
  return `${text.padEnd(58)} <${fallback}${describeType(item.type)}${unit}>`;
}

function exampleValue(item: Item): string {
  if (item.type.kind === 'flag') return '';
  if (item.default !== undefined) return showValue(item, item.default);
  return item.type.kind === 'text' ? item.type.example : '';
}

/** A value as it is written in the file. */
function showValue(item: Item, value: Value): string {
  if (typeof value === 'boolean')
    return item.type.kind === 'options' ? `dedicated_queues=${value ? 'on' : 'off'}` : value ? 'on' : 'off';
  if (Array.isArray(value))
    return value.length === 0 ? '' : item.type.kind === 'set' ? value.join('|') : value.join(' ');
  return String(value);
}
