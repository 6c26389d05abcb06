/**
 * From statements to a `Config`: looks every keyword up in the table of items, reads its value, and notes where each
 * value stands. Goes on after every error.
 */
import { suggest, type Diagnostic, type Place } from './diagnostics.js';
import type { Statement, Word } from './grammar.js';
import type { Item } from './items.js';
import { Origins } from './origins.js';
import {
  SCHEMA,
  defaultBlock,
  defaultConfig,
  getField,
  homesOf,
  scopeOf,
  setField,
  type Key,
} from './schema.js';
import type { Config } from './types.js';
import { readValue, type Value } from './values.js';

export interface ReadResult {
  config: Config;
  origins: Origins;
  /** The configuration, devices, workers, … that had an error in them: rules over the whole skip them. */
  broken: Set<object>;
}

/** Where we are: the keyword of the block, and the object that its items fill. */
interface Frame {
  key: Key;
  owner: object;
  /** Levels by which the text is nested deeper than it should be here, for want of a '}'. */
  extraDepth: number;
}

export function read(statements: readonly Statement[], problems: Diagnostic[]): ReadResult {
  const reader = new Reader(problems);
  const top: Frame = { key: SCHEMA, owner: reader.config, extraDepth: 0 };
  for (const s of statements) reader.statement(s, [top]);
  return reader;
}

class Reader implements ReadResult {
  readonly config = defaultConfig();
  readonly origins = new Origins();
  readonly broken = new Set<object>();
  /** Paths that have had their warning about effect. */
  private readonly warned = new Set<string>();
  /** Missing '}' reported so far: what follows one is misplaced by as many levels, and is no news. */
  private missingBraces = 0;

  constructor(private readonly problems: Diagnostic[]) {}

  /** @param frames enclosing blocks, the innermost last */
  statement(s: Statement, frames: readonly Frame[]): void {
    const [keyword, ...words] = s.words;
    if (keyword === undefined) return; // a block without a keyword: the parser has reported it
    const frame = frames.at(-1)!;
    const key = frame.key.children.get(keyword.text);
    if (key === undefined) this.unknown(s, keyword, frames);
    else if (key.item !== undefined) this.item(key.item, s, keyword, words, frames);
    else if (key.named !== undefined) this.namedBlock(key, s, keyword, words, frames);
    else this.block(key, s, keyword, words, frames);
  }

  private item(item: Item, s: Statement, keyword: Word, words: Word[], frames: readonly Frame[]): void {
    const { owner } = frames.at(-1)!;
    if (s.block !== undefined) {
      this.error(frames, keyword.place, `'${keyword.text}' takes a value, not a block`);
      return;
    }
    const read = readValue(item.type, keyword, words);
    for (const p of read.problems) this.report(frames, p);
    if (read.value === undefined) return;
    this.effect(item, keyword);
    if (item.to === '') return;
    if (item.repeat) {
      this.append(item, read.value, read.places, frames);
      return;
    }
    const earlier = this.origins.exactly(owner, `keyword of ${item.to}`);
    if (earlier !== undefined) {
      this.warning(
        keyword.place,
        `'${keyword.text}' is set again: this value replaces the one at ${earlier.file}:${earlier.line}:${earlier.column}`,
      );
    }
    this.origins.set(owner, `keyword of ${item.to}`, [keyword.place]);
    if (item.zeroIsDefault && read.value === 0) return;
    setField(owner, item.to, read.value);
    this.origins.set(owner, item.to, read.places);
  }

  private append(item: Item, value: Value, places: Place[], frames: readonly Frame[]): void {
    const { owner } = frames.at(-1)!;
    const list = getField(owner, item.to) as Value[];
    if (list.includes(value)) {
      this.error(frames, places[0]!, `'${String(value)}' is listed twice`);
      return;
    }
    const before = list.map((_, i) => this.origins.at(owner, item.to, i)!);
    list.push(value);
    this.origins.set(owner, item.to, [...before, ...places]);
  }

  private block(key: Key, s: Statement, keyword: Word, words: Word[], frames: readonly Frame[]): void {
    if (words[0] !== undefined) {
      this.error(
        frames,
        words[0].place,
        `unexpected '${words[0].text}': '${keyword.text}' has no name or value`,
      );
    }
    if (s.block === undefined) {
      this.error(frames, keyword.place, `'${keyword.text}' needs a block`, `${keyword.text} { … }`);
      return;
    }
    const inner = { ...frames.at(-1)!, key };
    for (const child of s.block) this.statement(child, [...frames, inner]);
  }

  private namedBlock(key: Key, s: Statement, keyword: Word, words: Word[], frames: readonly Frame[]): void {
    const named = key.named!;
    const [name, extra] = words;
    const parent = frames.at(-1)!.owner;
    if (name === undefined) {
      this.error(frames, keyword.place, `'${keyword.text}' needs a name`, `${keyword.text} NAME { … }`);
    } else if (!named.name.test(name.text)) {
      this.error(
        frames,
        name.place,
        `'${name.text}' is not a name for a ${keyword.text}`,
        `a name is ${named.nameHint}`,
      );
    }
    if (extra !== undefined) {
      this.error(frames, extra.place, `unexpected '${extra.text}' after the name of the ${keyword.text}`);
    }
    const object = defaultBlock(named, name?.text ?? '');
    const place = name?.place ?? keyword.place;
    this.origins.set(object, '', [place]);
    const list = getField(parent, named.to) as { name: string }[];
    const twin = list.find((other) => other.name === object.name);
    if (twin !== undefined) {
      const first = this.origins.at(twin)!;
      const hint = `the first stands at ${first.file}:${first.line}:${first.column}`;
      this.error(frames, place, `${keyword.text} '${object.name}' is defined twice`, hint);
    } else if (name !== undefined) {
      list.push(object);
    }
    if (named.effect === 'later') this.later(named.path, place, `${keyword.text} ${object.name}`);

    const inner = [...frames, { key, owner: object, extraDepth: frames.at(-1)!.extraDepth }];
    for (const child of s.block ?? []) this.statement(child, inner);
    this.required(key, object, keyword, place, inner);
  }

  private required(key: Key, object: object, keyword: Word, place: Place, frames: readonly Frame[]): void {
    for (const { item } of key.children.values()) {
      if (!item?.required || this.origins.has(object, item.to)) continue;
      // A value that is there but wrong has its own error.
      if (this.broken.has(object)) continue;
      const missing = item.path.split('/').at(-1)!;
      this.error(frames, place, `this ${keyword.text} has no '${missing}'`, item.doc);
    }
  }

  private unknown(s: Statement, keyword: Word, frames: readonly Frame[]): void {
    const { key } = frames.at(-1)!;
    const where = key.path === '' ? 'at top level' : `in ${key.path}`;
    if (s.block !== undefined) {
      // A block that belongs further out: most likely a '}' is missing in front of it. Read it where it belongs.
      const home = frames.findLastIndex((f) => {
        const known = f.key.children.get(keyword.text);
        return known !== undefined && known.item === undefined;
      });
      if (home !== -1) {
        const extraDepth = frames.at(-1)!.extraDepth + frames.length - 1 - home;
        if (extraDepth > this.missingBraces) {
          this.missingBraces = extraDepth;
          const hint = `close the block in front of it with '}'`;
          this.error(
            frames,
            keyword.place,
            `'${keyword.text}' stands ${where}, where it doesn't belong`,
            hint,
          );
        }
        this.statement(s, [...frames.slice(0, home), { ...frames[home]!, extraDepth }]);
        return;
      }
    }
    const near = suggest(keyword.text, [...key.children.keys()]);
    const homes = homesOf(keyword.text).map((h) => (h === '' ? 'top level' : h));
    const hint =
      homes.length > 0
        ? `it belongs in ${homes.join(' or ')}`
        : near !== undefined
          ? `did you mean '${near}'?`
          : `known here: ${[...key.children.keys()].join(', ')}`;
    this.error(frames, keyword.place, `unknown key '${keyword.text}' ${where}`, hint);
  }

  private effect(item: Item, keyword: Word): void {
    if (item.effect === 'now') return;
    // Inside a block that has no effect itself, the block's warning is enough.
    const scope = scopeOf(item.path);
    if (item.effect === 'later') {
      if (!this.warned.has(scope) && scope !== 'netif_defs/bonding NAME')
        this.later(item.path, keyword.place, item.path);
      return;
    }
    if (this.warned.has(item.path)) return;
    this.warned.add(item.path);
    const why =
      item.effect === 'obsolete'
        ? 'is obsolete and ignored'
        : 'is accepted for compatibility and has no effect';
    this.warning(keyword.place, `${item.path} ${why}`, item.doc);
  }

  private later(path: string, place: Place, what: string): void {
    if (this.warned.has(path)) return;
    this.warned.add(path);
    this.warning(place, `${what} is known, but has no effect yet`);
  }

  private error(frames: readonly Frame[], place: Place, message: string, hint?: string): void {
    this.report(frames, { severity: 'error', place, message, ...(hint === undefined ? {} : { hint }) });
  }

  private warning(place: Place, message: string, hint?: string): void {
    this.problems.push({ severity: 'warning', place, message, ...(hint === undefined ? {} : { hint }) });
  }

  private report(frames: readonly Frame[], d: Diagnostic): void {
    this.problems.push(d);
    if (d.severity === 'error') for (const f of frames) this.broken.add(f.owner);
  }
}
