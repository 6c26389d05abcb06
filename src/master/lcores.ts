/**
 * The lcores as the master sees them: one never-ending Piscina task each, restarted from a snapshot when it dies,
 * watched by heartbeat, and the messages to and from them. The rings are single-producer: only this file
 * posts for member 0.
 */
import { Piscina } from 'piscina';
import type { Command } from '../control/schema.js';
import { DROP } from '../core/drops.js';
import { DpvsError } from '../core/errors.js';
import { LCORE_BLOCK, LCORE_STATS } from '../core/layout.js';
import type { Native } from '../core/native.js';
import type { Ring } from '../core/ring.js';
import type { Notice } from '../ipvs/dest-notices.js';
import { MASTER, type LcoreQuery, type Mesh, type Page, type ToLcore, type ToMaster } from '../lcore/mesh.js';
import type { LcoreTask } from '../lcore/task.js';
import { tuneEngine } from './engine.js';
import type { Log } from './log.js';

export type LcoreState = 'starting' | 'running' | 'restarting' | 'stuck';

/** An lcore that does not count its heartbeat for this long is reported, then replaced. */
const STUCK_MS = 3000;
const REPLACE_MS = 10_000;
/** First restart at once, then with growing pauses while it keeps dying. */
const BACKOFF_MS = [0, 100, 500, 2000, 5000];
const HEALTHY_MS = 10_000;
const QUERY_MS = 1000;
/** How long messages of lcores lie unread when no answer is awaited; an awaited one is looked for all the time at first. */
const LOOK_MS = 100;
const EAGER_MS = 5;
/** Between attempts to take back what a dead lcore holds. */
const RECLAIM_MS = 1000;

interface Member {
  readonly task: Omit<LcoreTask, 'snapshot' | 'rebuild'>;
  readonly to: Ring;
  readonly from: Ring;
  readonly block: Uint32Array;
  readonly stats: Float64Array;
  state: LcoreState;
  /** A worker runs it or is about to. Else nothing is posted: what it missed is in the snapshot that it starts from. */
  hosted: boolean;
  /** What did not fit into the ring, in order. */
  backlog: ToLcore[];
  /** Commands posted and not yet acknowledged. */
  unacked: Map<number, (error?: DpvsError) => void>;
  queries: Map<number, (page: Page | undefined) => void>;
  ready: () => void;
  abort: AbortController;
  lastBeat: number;
  lastBeatAt: number;
}

export interface LcoresOptions {
  native: Native;
  log: Log;
  mesh: Mesh;
  tasks: Omit<LcoreTask, 'snapshot' | 'rebuild'>[];
  /** The commands that recreate the present state. */
  snapshot: () => Command[];
}

export class Lcores {
  private readonly members = new Map<number, Member>();
  private readonly pool: Piscina;
  private readonly hosts: Promise<void>[] = [];
  private readonly watchdog: NodeJS.Timeout;
  /** Told what lcores notice of real servers. */
  onNotices: ((notices: readonly Notice[]) => void) | undefined;
  private seq = 0;
  private postedAt = 0;
  /** Ends the pause of the pump. */
  private look: () => void = () => undefined;
  private stopping = false;

  constructor(private readonly o: LcoresOptions) {
    const n = o.tasks.length;
    tuneEngine();
    this.pool = new Piscina({
      filename: new URL('../lcore/worker.js', import.meta.url).href,
      minThreads: n,
      maxThreads: n,
      concurrentTasksPerWorker: 1,
      idleTimeout: Infinity,
      atomics: 'disabled',
      recordTiming: false,
      // Young objects are few: collecting them often takes half a millisecond, seldom a whole one.
      resourceLimits: { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 2 },
    });
    // A worker that dies without a task: the next task gets a new one.
    this.pool.on('error', (e) => o.log.error({ err: e }, 'worker thread'));
    for (const task of o.tasks) {
      this.members.set(task.id, {
        task,
        to: o.mesh.ring(MASTER, task.id),
        from: o.mesh.ring(task.id, MASTER),
        block: new Uint32Array(task.block, 0, LCORE_BLOCK.at.exc >>> 2),
        stats: new Float64Array(task.stats.buffer, task.stats.offset, LCORE_STATS.size >>> 3),
        state: 'starting',
        hosted: false,
        backlog: [],
        unacked: new Map(),
        queries: new Map(),
        ready: () => undefined,
        abort: new AbortController(),
        lastBeat: 0,
        lastBeatAt: performance.now(),
      });
    }
    this.watchdog = setInterval(() => this.watch(), 500);
  }

  /** Starts every lcore; resolves when all run. */
  async start(timeoutMs = 15_000): Promise<void> {
    const ready = [...this.members.values()].map((m) => new Promise<void>((resolve) => (m.ready = resolve)));
    void this.pump();
    for (const m of this.members.values()) this.hosts.push(this.host(m));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new DpvsError('SYSCALL', `an lcore did not start within ${timeoutMs / 1000} s`, 'see the log'),
          ),
        timeoutMs,
      );
    });
    await Promise.race([Promise.all(ready), late]).finally(() => clearTimeout(timer));
  }

  state(id: number): LcoreState {
    return this.member(id).state;
  }

  get ids(): number[] {
    return [...this.members.keys()];
  }

  /** Posts a command to every lcore; resolves when all have applied it. */
  async apply(command: Command): Promise<void> {
    await Promise.all(
      [...this.members.values()].map(async (m) => {
        const error = await new Promise<DpvsError | undefined>((resolve) => {
          if (!m.hosted) {
            resolve(undefined);
            return;
          }
          const seq = ++this.seq;
          m.unacked.set(seq, resolve);
          this.post(m, { t: 'command', seq, command });
        });
        // The master's replica took the command, so the lcore has diverged: rebuild it from the master's.
        if (error !== undefined) {
          this.o.log.error(
            { lcore: m.task.id, command, err: error.message },
            'lcore refused a command: rebuilding it',
          );
          this.post(m, { t: 'throw' });
        }
      }),
    );
  }

  /** Asks one lcore for a list that only it has; undefined when it does not answer in time. */
  async query(id: number, name: LcoreQuery): Promise<unknown[] | undefined> {
    const m = this.member(id);
    const all: unknown[] = [];
    for (let from = 0; ;) {
      const page = await this.queryPage(m, name, from);
      if (page === undefined) return undefined;
      for (const line of page.lines) all.push(line);
      if (page.next === 0) return all;
      from = page.next;
    }
  }

  private async queryPage(m: Member, name: LcoreQuery, from: number): Promise<Page | undefined> {
    if (!m.hosted) return undefined;
    const seq = ++this.seq;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        m.queries.delete(seq);
        resolve(undefined);
      }, QUERY_MS);
      m.queries.set(seq, (page) => {
        clearTimeout(timer);
        resolve(page);
      });
      this.post(m, { t: 'query', seq, name, from });
    });
  }

  /** Makes an lcore throw, to try its restart. */
  throwIn(id: number): void {
    this.post(this.member(id), { t: 'throw' });
  }

  /** Ends every lcore; resolves when no thread polls any more. */
  async stop(): Promise<void> {
    this.stopping = true;
    clearInterval(this.watchdog);
    for (const m of this.members.values()) {
      Atomics.store(new Int32Array(m.task.block), LCORE_BLOCK.at.stop >>> 2, 1);
      this.o.native.lcoreWake(m.task.id);
      // It waits for its next life, which will not come.
      if (!m.hosted) m.abort.abort();
    }
    const forced = setTimeout(() => this.members.forEach((m) => m.abort.abort()), 3000);
    await Promise.all(this.hosts);
    clearTimeout(forced);
    this.look();
    await this.pool.destroy();
  }

  private member(id: number): Member {
    const m = this.members.get(id);
    if (m === undefined) throw new DpvsError('NOTEXIST', `no lcore ${id}`, `lcores: ${this.ids.join(', ')}`);
    return m;
  }

  /** Runs one lcore for the life of the daemon, bringing it up again whenever it ends. */
  private async host(m: Member): Promise<void> {
    const { id } = m.task;
    for (let failures = 0, restart = false; !this.stopping; restart = true) {
      const startedAt = performance.now();
      m.abort = new AbortController();
      m.lastBeatAt = startedAt;
      m.hosted = true;
      this.look();
      let why = 'its task ended';
      try {
        await this.pool.run(
          { ...m.task, snapshot: this.o.snapshot(), rebuild: restart } satisfies LcoreTask,
          {
            signal: m.abort.signal,
          },
        );
      } catch (e) {
        why = (e as Error).message;
      }
      if (this.stopping) break;
      m.state = 'restarting';
      m.hosted = false;
      m.abort = new AbortController();
      failures = performance.now() - startedAt > HEALTHY_MS ? 0 : failures + 1;
      this.o.log.error({ lcore: id, why, failures }, 'lcore died, restarting it');
      this.settle(m);
      while (!this.bury(m) && !this.stopping) await pauseFor(RECLAIM_MS, m.abort.signal);
      await pauseFor(BACKOFF_MS[Math.min(failures, BACKOFF_MS.length) - 1] ?? 0, m.abort.signal);
    }
  }

  /**
   * Takes back what a dead lcore held, and accounts for it.
   * @returns false when its thread is still inside the driver
   */
  private bury(m: Member): boolean {
    let freed: number;
    try {
      freed = this.o.native.lcoreReclaim(m.task.id);
    } catch (e) {
      this.o.log.error({ lcore: m.task.id, err: (e as Error).message }, 'lcore cannot be replaced yet');
      return false;
    }
    m.stats[(LCORE_STATS.at.drops >>> 3) + DROP.LCORE_RESTART]! += freed;
    m.stats[LCORE_STATS.at.held >>> 3] = 0;
    m.stats[LCORE_STATS.at.restarts >>> 3]! += 1;
    return true;
  }

  /** Answers for a dead lcore: its next life starts from a snapshot. */
  private settle(m: Member): void {
    // Nobody reads or writes it now: whatever the dead lcore left half-read is gone.
    m.to.reset();
    m.backlog = [];
    for (const done of m.unacked.values()) done();
    m.unacked.clear();
    for (const done of m.queries.values()) done(undefined);
    m.queries.clear();
  }

  private post(m: Member, message: ToLcore): void {
    if (!m.hosted) return;
    if (m.backlog.length > 0 || !m.to.sendJson(message)) {
      m.backlog.push(message);
      if (m.backlog.length === 1) setTimeout(() => this.drainBacklog(m), 2);
    }
    this.o.native.lcoreWake(m.task.id);
    this.postedAt = performance.now();
    this.look();
  }

  private drainBacklog(m: Member): void {
    while (m.backlog.length > 0 && m.to.sendJson(m.backlog[0])) m.backlog.shift();
    this.o.native.lcoreWake(m.task.id);
    if (m.backlog.length > 0) setTimeout(() => this.drainBacklog(m), 2);
  }

  /** Reads what lcores send, for ever. */
  private async pump(): Promise<void> {
    while (!this.stopping) {
      for (const m of this.members.values()) {
        for (;;) {
          const message = m.from.receiveJson<ToMaster>();
          if (message === undefined) break;
          this.receive(m, message);
        }
      }
      await this.untilNextLook();
    }
  }

  private async untilNextLook(): Promise<void> {
    const awaited = [...this.members.values()].some(isAwaited);
    await new Promise<void>((resolve) => {
      if (awaited && performance.now() - this.postedAt < EAGER_MS) {
        setImmediate(resolve);
        return;
      }
      const timer = setTimeout(resolve, awaited ? 1 : LOOK_MS);
      this.look = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private receive(m: Member, message: ToMaster): void {
    switch (message.t) {
      case 'ready':
        this.o.log.info(
          { lcore: m.task.id, cpu: m.task.cpu },
          m.state === 'restarting' ? 'lcore is back' : 'lcore runs',
        );
        m.state = 'running';
        m.ready();
        break;
      case 'ack': {
        const done = m.unacked.get(message.seq);
        m.unacked.delete(message.seq);
        done?.(message.error === undefined ? undefined : DpvsError.fromData(message.error));
        break;
      }
      case 'reply': {
        const done = m.queries.get(message.seq);
        m.queries.delete(message.seq);
        done?.(message.page);
        break;
      }
      case 'dests':
        this.onNotices?.(message.notices);
        break;
      case 'log':
        this.o.log[message.level]({ lcore: m.task.id, ...message.fields }, message.msg);
        break;
    }
  }

  private watch(): void {
    const now = performance.now();
    for (const m of this.members.values()) {
      const beat = Atomics.load(m.block, LCORE_BLOCK.at.heartbeat >>> 2);
      if (beat !== m.lastBeat) {
        m.lastBeat = beat;
        m.lastBeatAt = now;
        if (m.state === 'stuck') {
          m.state = 'running';
          this.o.log.warn({ lcore: m.task.id }, 'lcore runs again');
        }
      } else if (m.state === 'running' && now - m.lastBeatAt > STUCK_MS) {
        m.state = 'stuck';
        this.o.log.error({ lcore: m.task.id }, `lcore has not run for ${STUCK_MS / 1000} s`);
      } else if (m.state === 'stuck' && now - m.lastBeatAt > REPLACE_MS) {
        m.abort.abort();
      }
    }
  }
}

/** A member owes an answer, or word that it runs. */
const isAwaited = (m: Member): boolean =>
  m.unacked.size > 0 || m.queries.size > 0 || (m.hosted && m.state !== 'running' && m.state !== 'stuck');

/** Resolves after `ms`, or when aborted; at once for 0. */
async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
