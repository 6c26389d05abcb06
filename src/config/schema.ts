/** The table of items as a tree of keywords, and the defaults that it declares. */
import { ITEMS, NAMED_BLOCKS, type Item, type NamedBlock } from './items.js';
import type { Config } from './types.js';
import type { Value } from './values.js';

/** A keyword: of an item, of a block, or of a block with a name. */
export interface Key {
  keyword: string;
  /** As in items.ts; '' for the root. */
  path: string;
  parent?: Key;
  item?: Item;
  named?: NamedBlock;
  children: Map<string, Key>;
}

/** The tree; its root stands for the file. */
export const SCHEMA: Key = build();

function build(): Key {
  const root: Key = { keyword: '', path: '', children: new Map() };
  for (const item of ITEMS) {
    let at = root;
    for (const segment of item.path.split('/')) {
      const [keyword = ''] = segment.split(' ');
      const path = at.path === '' ? segment : `${at.path}/${segment}`;
      let next = at.children.get(keyword);
      if (next === undefined) {
        next = { keyword, path, parent: at, children: new Map() };
        const named = NAMED_BLOCKS.find((b) => b.path === path);
        if (named !== undefined) next.named = named;
        at.children.set(keyword, next);
      }
      at = next;
    }
    at.item = item;
  }
  return root;
}

/** The named block that a path stands in, '' at top level. */
export function scopeOf(path: string): string {
  const segments = path.split('/').slice(0, -1);
  while (segments.length > 0 && !segments.at(-1)!.includes(' ')) segments.pop();
  return segments.join('/');
}

/** Paths (without their last keyword) where a keyword is known. */
export function homesOf(keyword: string): string[] {
  const homes: string[] = [];
  const visit = (key: Key): void => {
    for (const child of key.children.values()) {
      if (child.keyword === keyword) homes.push(key.path);
      visit(child);
    }
  };
  visit(SCHEMA);
  return homes;
}

type Fields = { [field: string]: Value | Fields | Fields[] };

/** Sets `owner.a.b` for the path 'a.b'. */
export function setField(owner: object, to: string, value: Value | object[]): void {
  const parts = to.split('.');
  const last = parts.pop()!;
  let at = owner as Fields;
  for (const part of parts) at = (at[part] ??= {}) as Fields;
  at[last] = value as Value;
}

/** Reads `owner.a.b` for the path 'a.b'. */
export function getField(owner: object, to: string): unknown {
  let at: unknown = owner;
  for (const part of to.split('.')) at = (at as Fields | undefined)?.[part];
  return at;
}

/** What a named block (or, for '', the whole file) is when it says nothing. */
function defaultsOf(scope: string): object {
  const owner = {};
  for (const item of ITEMS) {
    if (item.to === '' || scopeOf(item.path) !== scope) continue;
    if (item.repeat) setField(owner, item.to, []);
    else if (item.default !== undefined) setField(owner, item.to, structuredClone(item.default));
  }
  for (const block of NAMED_BLOCKS) {
    if (scopeOf(block.path) === scope) setField(owner, block.to, []);
  }
  return owner;
}

/** The configuration of an empty file. */
export const defaultConfig = (): Config => defaultsOf('') as Config;

/** A device, bonding, worker or port that says nothing but its name. */
export const defaultBlock = (block: NamedBlock, name: string): { name: string } => ({
  name,
  ...defaultsOf(block.path),
});
