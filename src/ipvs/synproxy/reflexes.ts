/**
 * What the native loop knows of services whose SYNs it handles itself: it answers those with syn-proxy (`native/src/syn_answer.h`), and
 * opens connections of those that have a stock (src/ipvs/stocks.ts). A small hash table in the lcore's block, compiled from the
 * services, with the sources that nobody may have and the keys of cookies.
 *
 * It is empty from the moment when something has changed until it is compiled again, at the end of the loop: what it does not
 * cover goes to TypeScript.
 */
import {
  LCORE_BLOCK,
  REFLEX_CAP,
  REFLEX_F_SACK,
  REFLEX_F_TIMESTAMP,
  REFLEX_GONE,
  REFLEX_MARTIAN,
  REFLEX_STOCK,
  REFLEX_SYN,
  REFLEX_WORDS,
} from '../../core/layout.js';
import type { Inet } from '../../inet/api.js';
import type { Services, Svc } from '../service.js';
import { NO_STOCK, type Stocks } from '../stocks.js';
import type { Answer } from './answer.js';
import type { SynproxyConfig } from './config.js';
import type { Cookies } from './cookie.js';
import { isDead } from './dead.js';

/** Entries that there may be: half of the table, so that searching ends soon. */
const MOST = REFLEX_CAP / 2;
const AT = {
  keys: LCORE_BLOCK.at.cookieKeys >>> 2,
  time: LCORE_BLOCK.at.cookieTime >>> 2,
  count: LCORE_BLOCK.at.reflexCount >>> 2,
  generation: LCORE_BLOCK.at.reflexGeneration >>> 2,
  table: LCORE_BLOCK.at.reflexes >>> 2,
};

export class Reflexes {
  /** Services with syn-proxy. */
  private readonly svcs = new Set<Svc>();
  private stale = false;
  /** Entries of the table; more than MOST: it could not be compiled, for this generation. */
  private entries = 0;
  /** Those of them that are REFLEX_GONE. */
  private gone = 0;

  /** @param block the lcore's, in words */
  constructor(
    private readonly block: Uint32Array,
    services: Services,
    private readonly inet: Inet,
    private readonly cookies: Cookies,
    private readonly answer: Answer,
    private readonly config: SynproxyConfig,
    private readonly stocks: Stocks,
  ) {
    stocks.changed = (svc, stock) => this.setStock(svc, stock);
    block[AT.count] = 0;
    const changed = (svc: Svc): void => {
      if (svc.synproxy) this.outdated();
    };
    services.listen({
      svcChanged: (svc, gone) => {
        const had = this.svcs.delete(svc);
        if (svc.synproxy && !gone) this.svcs.add(svc);
        if (had || svc.synproxy) this.outdated();
      },
      destAdded: (d) => changed(d.svc),
      destChanged: (d) => changed(d.svc),
      destRemoved: (d) => changed(d.svc),
    });
  }

  /** Call once per loop, behind its packets. */
  tick(): void {
    if (this.svcs.size === 0 && !this.stale && this.block[AT.count] === 0) return;
    if (this.stale || this.block[AT.generation] !== this.inet.generation >>> 0) this.compile();
  }

  /** Tells of new keys. */
  setKeys(): void {
    this.block.set(this.cookies.keys, AT.keys);
    this.block[AT.time] = this.cookies.now;
  }

  private outdated(): void {
    this.block[AT.count] = 0;
    this.stale = true;
  }

  private compile(): void {
    const { block, inet, config } = this;
    this.stale = false;
    block[AT.count] = 0;
    block[AT.generation] = inet.generation;
    block.fill(0, AT.table, AT.table + REFLEX_CAP * REFLEX_WORDS);
    const martians = inet.martians();
    this.gone = 0;
    this.entries = martians.length;
    // Whole networks of them, or too many: TypeScript looks at each packet.
    if (martians.length > MOST / 2) {
      this.entries = MOST + 1;
      return;
    }
    for (const addr of martians) this.enter(addr, 0, REFLEX_MARTIAN, 0, 0, 0);
    const flags = (config.sack ? REFLEX_F_SACK : 0) | (config.timestamp ? REFLEX_F_TIMESTAMP : 0);
    for (const svc of this.svcs) {
      if (this.entries === MOST) break;
      if (svc.port === 0 || isDead(svc) || inet.lookup(svc.addr) === undefined) continue;
      const options = config.mss | (config.ttl << 16) | (flags << 24);
      this.enter(
        svc.addr,
        svc.port,
        REFLEX_SYN,
        config.wscale,
        options,
        this.answer.window | (svc.slot << 16),
      );
      this.entries++;
      block[AT.count]!++;
    }
    for (const { svc, stock } of this.stocks.openings) this.setStock(svc, stock);
  }

  /** A service has got a stock, or has none any more (`NO_STOCK`). They come and go too often to compile everything anew. */
  private setStock(svc: Svc, stock: number): void {
    const { block } = this;
    if (this.stale) return;
    if (block[AT.generation] !== this.inet.generation >>> 0) {
      this.outdated();
      return;
    }
    const known = block[this.place(svc.addr, svc.port) + 1] !== 0;
    if (!known && this.entries === MOST && this.gone > 0) {
      this.outdated();
      return;
    }
    if (!known) {
      if (stock === NO_STOCK || this.entries >= MOST) return;
      this.entries++;
      block[AT.count]!++;
    } else {
      this.gone += stock === NO_STOCK ? 1 : -1;
    }
    const kind = stock === NO_STOCK ? REFLEX_GONE : REFLEX_STOCK;
    this.enter(svc.addr, svc.port, kind, 0, this.stocks.flags << 24, (stock & 0xff) | (svc.slot << 16));
  }

  private enter(addr: number, port: number, kind: number, wscale: number, w2: number, w3: number): void {
    const { block } = this;
    const at = this.place(addr, port);
    block[at] = swap32(addr);
    block[at + 1] = swap16(port) | (kind << 16) | (wscale << 24);
    block[at + 2] = w2;
    block[at + 3] = w3;
  }

  /** Where the entry of an address and port stands, or is to stand. */
  private place(addr: number, port: number): number {
    const { block } = this;
    // As they stand in packets.
    const rawAddr = swap32(addr);
    const rawPort = swap16(port);
    let h = Math.imul(rawAddr ^ Math.imul(rawPort, 0x9e3779b1), 0x85ebca6b);
    h ^= h >>> 16;
    for (; ; h++) {
      const at = AT.table + ((h >>> 0) % REFLEX_CAP) * REFLEX_WORDS;
      const second = block[at + 1]!;
      if (second === 0 || (block[at] === rawAddr && (second & 0xffff) === rawPort)) return at;
    }
  }
}

const swap16 = (v: number): number => ((v & 0xff) << 8) | (v >>> 8);
const swap32 = (v: number): number =>
  ((v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;
