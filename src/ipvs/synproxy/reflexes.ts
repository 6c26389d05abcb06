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
  REFLEX_MARTIAN,
  REFLEX_STOCK,
  REFLEX_SYN,
  REFLEX_WORDS,
} from '../../core/layout.js';
import type { Inet } from '../../inet/api.js';
import type { Services, Svc } from '../service.js';
import type { Stocks } from '../stocks.js';
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
    stocks.changed = () => this.outdated();
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
    // Whole networks of them, or too many: TypeScript looks at each packet.
    if (martians === undefined || martians.length > MOST / 2) return;
    for (const addr of martians) this.enter(addr, 0, REFLEX_MARTIAN, 0, 0, 0);
    let n = martians.length;
    let count = 0;
    const flags = (config.sack ? REFLEX_F_SACK : 0) | (config.timestamp ? REFLEX_F_TIMESTAMP : 0);
    for (const svc of this.svcs) {
      if (n === MOST) break;
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
      n++;
      count++;
    }
    for (const { svc, stock } of this.stocks.openings) {
      if (n === MOST) break;
      this.enter(svc.addr, svc.port, REFLEX_STOCK, 0, this.stocks.flags << 24, stock | (svc.slot << 16));
      n++;
      count++;
    }
    block[AT.count] = count;
  }

  private enter(addr: number, port: number, kind: number, wscale: number, w2: number, w3: number): void {
    const { block } = this;
    // As they stand in packets.
    const rawAddr = swap32(addr);
    const rawPort = ((port & 0xff) << 8) | (port >>> 8);
    let h = Math.imul(rawAddr ^ Math.imul(rawPort, 0x9e3779b1), 0x85ebca6b);
    h ^= h >>> 16;
    let at: number;
    for (; ; h++) {
      at = AT.table + ((h >>> 0) % REFLEX_CAP) * REFLEX_WORDS;
      if (block[at + 1] === 0) break;
    }
    block[at] = rawAddr;
    block[at + 1] = rawPort | (kind << 16) | (wscale << 24);
    block[at + 2] = w2;
    block[at + 3] = w3;
  }
}

const swap32 = (v: number): number =>
  ((v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;
