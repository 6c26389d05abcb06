/**
 * Black and white lists as the master keeps them: commands are checked against the entries as they were written, then the prefixes
 * go into the table that all lcores read. Lcores get no entries, only the word that a service has lists now or has none.
 *
 * A command takes effect wholly or not at all. Very long ones come in parts (`load`), which are kept aside until the last.
 */
import { randomUUID } from 'node:crypto';
import type { AclEntry, AclPage } from '../../control/results.js';
import { DpvsError } from '../../core/errors.js';
import { VERDICT } from '../../core/layout.js';
import { badRange, formatRange, prefixLength, RangeReader, splitRange } from '../../wire/range.js';
import { keyOf, type Services, type Svc, type SvcKeyParams } from '../service.js';
import { Entries } from './entries.js';
import { BLACK, GLOBAL, type Kind, listOf, WHITE } from './verdicts.js';
import type { VerdictWriter } from './writer.js';

export interface AclParams {
  /** Left out: for all sources. */
  svc?: SvcKeyParams | undefined;
  list: 'black' | 'white';
  entries: string[];
  /** Parts of one command have the same name; all but the last say `more`. */
  load?: string | undefined;
  more?: boolean | undefined;
}
export interface AclScope {
  svc?: SvcKeyParams | undefined;
  list?: 'black' | 'white' | undefined;
}
export type AclCommand = ({ op: 'acl.add' | 'acl.del' } & AclParams) | ({ op: 'acl.flush' } & AclScope);
/** What lcores are told. */
export interface AclNote {
  op: 'acl.note';
  svc: SvcKeyParams;
}

/** Ranges that were read: first and last address, and whether they were written with a dash. */
class Ranges {
  n = 0;
  from = new Uint32Array(256);
  to = new Uint32Array(256);
  dash = new Uint8Array(256);

  push(from: number, to: number, dash: boolean): void {
    if (this.n === this.from.length) {
      const n = this.n * 2;
      const { from: f, to: t, dash: d } = this;
      (this.from = new Uint32Array(n)).set(f);
      (this.to = new Uint32Array(n)).set(t);
      (this.dash = new Uint8Array(n)).set(d);
    }
    this.from[this.n] = from;
    this.to[this.n] = to;
    this.dash[this.n++] = Number(dash);
  }
}

/** Loads under way at a time, what each may hold, and how long one may rest. */
const LOADS = 4;
const LOAD_ENTRIES = 4_000_000;
const LOAD_REST_MS = 60_000;
/** Entries that one page looks at: 2 ms. */
const SEEN = 200_000;

const KINDS = { black: BLACK, white: WHITE } as const;
const kindName = (kind: Kind): 'black' | 'white' => (kind === BLACK ? 'black' : 'white');

export class AccessLists {
  private readonly entries = new Entries();
  private readonly reader = new RangeReader();
  private readonly loads = new Map<string, { ranges: Ranges; what: string; at: number }>();

  /** @param now milliseconds, for loads that nobody ends */
  constructor(
    private readonly services: Services,
    private readonly writer: VerdictWriter,
    private readonly now: () => number = () => performance.now(),
  ) {
    services.listen({
      destAdded: (dest) => this.spare(dest.addr, true),
      destRemoved: (dest) => this.spare(dest.addr, false),
      svcChanged: (svc, gone) => {
        if (gone) this.flushLists([listOf(svc.slot, BLACK), listOf(svc.slot, WHITE)]);
      },
    });
  }

  /** Entries of all lists. */
  get size(): number {
    return this.entries.size;
  }

  /**
   * @returns what lcores have to be told, if anything
   * @throws DpvsError EXIST, NOTEXIST: an entry; INVAL: service missing, or no address; NOTSUPP: ipset; RESOURCE: no room. Nothing has
   *   changed then.
   */
  apply(command: AclCommand): AclNote | undefined {
    const svc = command.svc === undefined ? undefined : this.services.get(command.svc);
    const slot = svc?.slot ?? GLOBAL;
    if (command.op === 'acl.flush') {
      const kinds: Kind[] = command.list === undefined ? [BLACK, WHITE] : [KINDS[command.list]];
      this.flushLists(kinds.map((kind) => listOf(slot, kind)));
    } else {
      const list = listOf(slot, KINDS[command.list]);
      const ranges = this.read(command, list);
      if (ranges === undefined) return undefined;
      if (command.op === 'acl.add') this.add(list, ranges);
      else this.remove(list, ranges);
    }
    return svc === undefined ? undefined : { op: 'acl.note', svc: keyOf(svc) };
  }

  /**
   * One page; it may be empty and yet not the last.
   * @throws DpvsError INVAL unknown service, bad cursor
   */
  page(p: {
    svc?: SvcKeyParams | undefined;
    list?: 'black' | 'white' | undefined;
    cursor?: string | undefined;
    limit: number;
  }): AclPage {
    const start = Number(p.cursor ?? 0);
    if (!Number.isInteger(start) || start < 0) throw new DpvsError('INVAL', `bad cursor '${p.cursor}'`);
    const only = p.svc === undefined ? undefined : this.services.get(p.svc).slot;
    const kind = p.list === undefined ? undefined : KINDS[p.list];
    const svcs = new Map<number, Svc>(this.services.list().map((s) => [s.slot, s]));
    const keys = new Map<number, SvcKeyParams>();
    const entries: AclEntry[] = [];
    const next = this.entries.scan(
      start,
      p.limit,
      SEEN,
      (list) => (only === undefined || list >>> 1 === only) && (kind === undefined || (list & 1) === kind),
      (list, from, to, dash) => {
        const svc = svcs.get(list >>> 1);
        let key = keys.get(list >>> 1);
        if (key === undefined && svc !== undefined) keys.set(list >>> 1, (key = keyOf(svc)));
        const entry = formatRange(from, to, dash ? -1 : prefixLength(from, to));
        entries.push({
          ...(key === undefined ? {} : { svc: key }),
          list: kindName((list & 1) as Kind),
          entry,
        });
      },
    );
    return next === 0 ? { entries } : { entries, cursor: String(next) };
  }

  /** Entries of a list by kind, for listings. */
  counts(slot: number): { black: number; white: number } {
    return {
      black: this.entries.count(listOf(slot, BLACK)),
      white: this.entries.count(listOf(slot, WHITE)),
    };
  }

  // ----- commands

  /** The ranges of a command, undefined while more of it is to come. */
  private read(c: AclParams & { op: string }, list: number): Ranges | undefined {
    const what = `${c.op} ${list}`;
    const now = this.now();
    for (const [name, l] of this.loads) if (now - l.at > LOAD_REST_MS) this.loads.delete(name);
    const name = c.load ?? randomUUID();
    const load = this.loads.get(name) ?? { ranges: new Ranges(), what, at: now };
    // Whatever goes wrong now ends the load.
    this.loads.delete(name);
    if (load.what !== what)
      throw new DpvsError('INVAL', `load '${name}' was begun for another list`, 'choose another name');
    const { ranges } = load;
    if (ranges.n + c.entries.length > LOAD_ENTRIES)
      throw new DpvsError('RESOURCE', `more than ${LOAD_ENTRIES} entries in one command`);
    for (const text of c.entries) {
      if (this.reader.read(text) >= 0) throw badRange(text);
      ranges.push(this.reader.from, this.reader.to, this.reader.dash);
    }
    if (c.more !== true) return ranges;
    if (c.load === undefined) throw new DpvsError('INVAL', 'a command with more to come has no name');
    if (this.loads.size >= LOADS)
      throw new DpvsError('BUSY', `${LOADS} loads are under way`, 'wait until one has ended');
    load.at = now;
    this.loads.set(name, load);
    return undefined;
  }

  private add(list: number, r: Ranges): void {
    const { entries, writer } = this;
    let prefixes = 0;
    for (let i = 0; i < r.n; i++) {
      const [from, to] = [r.from[i]!, r.to[i]!];
      const isNew = entries.add(list, from, to, r.dash[i] === 1);
      if (isNew) splitRange(from, to, () => prefixes++);
      if (isNew && prefixes <= writer.room) continue;
      for (let k = isNew ? i : i - 1; k >= 0; k--) entries.delete(list, r.from[k]!, r.to[k]!);
      if (!isNew) throw new DpvsError('EXIST', `${text(r, i)} is on the ${this.nameOf(list)} already`);
      throw new DpvsError(
        'RESOURCE',
        `no room for ${r.n} entries: lists take ${writer.capacity} prefixes, ${writer.room} are free`,
        'a range counts as the prefixes that it consists of',
      );
    }
    for (let i = 0; i < r.n; i++)
      splitRange(r.from[i]!, r.to[i]!, (prefix, plen) => writer.add(list, prefix, plen));
    writer.publish(list);
  }

  private remove(list: number, r: Ranges): void {
    const { entries, writer } = this;
    for (let i = 0; i < r.n; i++) {
      if (entries.delete(list, r.from[i]!, r.to[i]!)) {
        r.dash[i] = Number(entries.wasDash);
        continue;
      }
      for (let k = i - 1; k >= 0; k--) entries.add(list, r.from[k]!, r.to[k]!, r.dash[k] === 1);
      throw new DpvsError('NOTEXIST', `${text(r, i)} is not on the ${this.nameOf(list)}`);
    }
    // A white list that is emptied must not shut out everybody on the way.
    if (entries.count(list) === 0) writer.silence(list);
    for (let i = 0; i < r.n; i++)
      splitRange(r.from[i]!, r.to[i]!, (prefix, plen) => writer.remove(list, prefix, plen));
    writer.publish(list);
  }

  private flushLists(lists: readonly number[]): void {
    const { entries } = this;
    for (const list of lists) {
      if (entries.count(list) === 0) continue;
      const gone = new Ranges();
      entries.scan(
        0,
        Infinity,
        Infinity,
        (l) => l === list,
        (_, from, to, dash) => gone.push(from, to, dash),
      );
      this.remove(list, gone);
    }
  }

  /** Real servers are not to be shut out by a global list that happens to cover them. */
  private spare(addr: number, on: boolean): void {
    const { writer } = this;
    if (on) writer.add(VERDICT.exempt, addr, 32);
    else writer.remove(VERDICT.exempt, addr, 32);
    writer.publish(VERDICT.exempt);
  }

  private nameOf(list: number): string {
    const kind = `${kindName((list & 1) as Kind)} list`;
    const svc = this.services.list().find((s) => s.slot === list >>> 1);
    return svc === undefined ? `global ${kind}` : `${kind} of ${svc.name}`;
  }
}

/** An entry as it was written. */
function text(r: Ranges, i: number): string {
  const [from, to] = [r.from[i]!, r.to[i]!];
  return formatRange(from, to, r.dash[i] === 1 ? -1 : prefixLength(from, to));
}
