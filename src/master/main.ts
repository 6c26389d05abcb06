/**
 * The daemon: boot order, and the way back. Whatever has been made is undone in reverse, also when boot fails
 * half-way, so that no file, page or device is left behind.
 */
import { existsSync, unlinkSync } from 'node:fs';
import { ControlServer, refuseServed } from '../control/server.js';
import { ConfigError, loadConfig } from '../config/config.js';
import { formatDiagnostic } from '../config/diagnostics.js';
import { resolve } from '../config/resolve.js';
import type { Config } from '../config/types.js';
import { DpvsError } from '../core/errors.js';
import { ADJ, ADJ_CAP, CONN4, LCORE_BLOCK } from '../core/layout.js';
import { native as loadNative } from '../core/native.js';
import { segmentLayout, StatsSegment } from '../core/stats.js';
import { AccessLists } from '../ipvs/acl/lists.js';
import { Verdicts } from '../ipvs/acl/verdicts.js';
import { VerdictWriter } from '../ipvs/acl/writer.js';
import { DestLimits } from '../ipvs/limits.js';
import { sharedMemory } from '../ipvs/shared.js';
import { Templates } from '../ipvs/templates.js';
import { Mesh } from '../lcore/mesh.js';
import { Replica } from '../lcore/replica.js';
import type { LcoreTask, StackConfig } from '../lcore/task.js';
import { Alarms } from './alarms.js';
import { Clients } from './clients.js';
import { Controller } from './controller.js';
import { DestChecks } from './dest-checks.js';
import { startEal } from './eal.js';
import { Lcores } from './lcores.js';
import { createLog, type Log } from './log.js';
import { removePidFile, writePidFile } from './pidfile.js';
import { attachPorts, needsPci, Ports } from './ports.js';
import { Queries } from './queries.js';
import { Rates } from './rates.js';
import { reportReload } from './reload.js';
import { VERSION } from './version.js';

export const DEFAULT_CONF = '/etc/dpvs.conf';
export const DEFAULT_PID_FILE = '/var/run/dpvs.pid';
export const DEFAULT_IPC_FILE = '/var/run/dpvs.ipc';

export interface RunOptions {
  /** Configuration file; without one, the default path if it exists, else all defaults. */
  conf?: string | undefined;
  pidFile?: string | undefined;
  ipcFile?: string | undefined;
  /** Arguments for EAL. */
  ealArgs: string[];
}

const REDIRECT_RING = 2048;
/** Room for 1.3 million prefixes of black and white lists: 17 MB, touched as they fill. */
const VERDICT_BUCKETS = 2 ** 18;
const seconds = (t: object): Record<string, number> =>
  Object.fromEntries(Object.entries(t).map(([k, v]) => [k, (v as number) * 1000]));

const stackConfig = (c: Config, lcores: number): StackConfig => ({
  forwarding: c.ipv4.forwarding,
  defaultTtl: c.ipv4.defaultTtl,
  neighTimeoutMs: c.neigh.timeoutS * 1000,
  unresQueueLength: c.neigh.unresQueueLength,
  // An eighth of the buffers, however many addresses don't answer.
  unresTotalLength: Math.ceil(c.netif.pktpoolSize / 8 / lcores),
  fragmentEntries: c.ipv4.fragment.maxEntries,
  // Another eighth, in two tables.
  fragmentBuffers: Math.ceil(c.netif.pktpoolSize / 16 / lcores),
  fragmentTtlMs: c.ipv4.fragment.ttlS * 1000,
  poolHashSize: c.saPool.poolHashSize,
  xmitTtl: c.ipvs.conn.xmitTtl,
  flowOffload: c.ipvs.conn.flowOffload,
  connInitTimeoutMs: c.ipvs.conn.initTimeoutS * 1000,
  expireQuiescentTemplate: c.ipvs.conn.expireQuiescentTemplate,
  uoaMode: c.ipvs.udp.uoaMode,
  uoaMaxTrail: c.ipvs.udp.uoaMaxTrail,
  tcpTimeoutsMs: seconds(c.ipvs.tcp.timeoutsS),
  udpTimeoutsMs: seconds(c.ipvs.udp.timeoutsS),
  tcp: {
    rebase: c.ipvs.tcp.seqRebase,
    keepTimestamps: c.ipvs.tcp.timestamp === 'keep',
    toa: c.ipvs.tcp.toa,
    ackStorm: c.ipvs.tcp.synproxy.ackStormThresh,
  },
  snatTimeouts: c.ipvs.conn.snatTimeouts,
  floodHigh: c.ipvs.conn.floodHigh,
  floodLow: c.ipvs.conn.floodLow,
  floodIdleMs: c.ipvs.conn.floodIdleS * 1000,
  defenceTcpDrop: c.ipvs.tcp.defenceTcpDrop,
  defenceUdpDrop: c.ipvs.udp.defenceUdpDrop,
  // A sixteenth of the buffers.
  synproxy: { ...c.ipvs.tcp.synproxy, packetsHeld: Math.ceil(c.netif.pktpoolSize / 16 / lcores) },
});

/** Runs until a signal ends it. @returns the exit code */
export async function run(o: RunOptions): Promise<number> {
  const undo: (() => void | Promise<void>)[] = [];
  let log: Log | undefined;
  let code = 0;
  try {
    const path = o.conf ?? (existsSync(DEFAULT_CONF) ? DEFAULT_CONF : undefined);
    const { config, warnings, origins } = loadConfig(path);
    log = createLog({
      level: config.global.logLevel,
      file: config.global.logFile,
      format: config.global.logFormat,
    });
    if (path === undefined) log.warn(`no ${DEFAULT_CONF}: all defaults`);
    for (const w of warnings) log.warn(formatDiagnostic(w));
    // Before boot: a signal that comes meanwhile ends us as cleanly, right after it.
    const ended = ending();
    process.on('SIGHUP', () => reportReload(path, config, log!));
    // A bug in the control plane is no reason to stop forwarding.
    const survive = (err: unknown): void => log?.error({ err }, 'internal error, going on');
    process.on('uncaughtException', survive);
    process.on('unhandledRejection', survive);
    await boot(o, config, origins, log, undo);
    log.info({ signal: await ended }, 'dpvs ends');
  } catch (e) {
    code = 1;
    report(e, log);
  }
  for (const step of undo.reverse()) {
    try {
      await step();
    } catch (e) {
      log?.error({ err: (e as Error).message }, 'clean-up step failed');
    }
  }
  return code;
}

/** Resolves with the first signal that ends the daemon; further ones change nothing. */
async function ending(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const s of ['SIGINT', 'SIGTERM'] as const) process.on(s, () => resolve(s));
  });
}

/** One readable message per failure; a stack only for what is our own fault. */
function report(e: unknown, log: Log | undefined): void {
  const say = (text: string): void => {
    if (log === undefined) process.stderr.write(`${text}\n`);
    else log.fatal(text);
  };
  if (e instanceof ConfigError) for (const d of e.diagnostics) say(formatDiagnostic(d));
  else if (e instanceof DpvsError) say(e.hint === undefined ? e.message : `${e.message} (${e.hint})`);
  else if (log !== undefined) log.fatal({ err: e }, 'internal error');
  else process.stderr.write(`${String((e as Error).stack ?? e)}\n`);
}

async function boot(
  o: RunOptions,
  config: Config,
  origins: Parameters<typeof resolve>[2],
  log: Log,
  undo: (() => void | Promise<void>)[],
): Promise<void> {
  const pidFile = o.pidFile ?? DEFAULT_PID_FILE;
  const ipcFile = o.ipcFile ?? DEFAULT_IPC_FILE;
  const statsFile = `${ipcFile}.stats`;
  writePidFile(pidFile);
  undo.push(() => removePidFile(pidFile));
  // Before anything is made: the other one's statistics file stands beside the socket.
  await refuseServed(ipcFile);

  const native = loadNative();
  const { pktpoolSize } = config.netif;
  const { hugepages, memoryMb } = config.global;
  const pci = needsPci(config);
  startEal(
    native,
    { pktpoolSize, hugepages, memoryMb, pci, cpus: native.allowedCpus(), userArgs: o.ealArgs },
    log,
  );
  undo.push(() => native.ealCleanup());

  const facts = attachPorts(native, config);
  const { plan, warnings } = resolve(config, facts, origins);
  for (const w of warnings) log.warn(formatDiagnostic(w));
  // What V8 does in the background must not interrupt an lcore where there is another CPU for it.
  const rest = facts.allowedCpus.filter((cpu) => !plan.lcores.some((l) => l.cpu === cpu));
  if (rest.length > 0) native.processPin(rest);
  const pool = native.mempoolCreate({
    name: 'mbuf_pool_0',
    count: config.netif.pktpoolSize,
    // RTE_MEMPOOL_CACHE_MAX_SIZE; the original's configuration allows more.
    cache: Math.min(config.netif.pktpoolCache, 512),
    socket: 0,
  });
  const ports = new Ports(native, log, plan);
  undo.push(() => ports.closeAll());
  const devices = ports.start();

  const n = plan.lcores.length;
  const layout = segmentLayout({ lcores: n });
  const segment = StatsSegment.create(native.mapFile(statsFile, layout.bytes), { lcores: n });
  undo.push(() => unlinkSync(statsFile));
  const mesh = Mesh.create(n + 1);
  const shared = sharedMemory(
    n,
    (bytes) => native.mapAnonymous(bytes),
    config.ipvs.conn.poolSize / 4,
    VERDICT_BUCKETS,
  );
  const perLcore = Math.max(1024, Math.ceil((config.ipvs.conn.poolSize + 1) / n));
  const tasks = plan.lcores.map((l): Omit<LcoreTask, 'snapshot' | 'rebuild'> => {
    const block = native.mapAnonymous(LCORE_BLOCK.size);
    const conns = native.mapAnonymous(perLcore * CONN4.size);
    const adjacencies = native.mapAnonymous(ADJ_CAP * ADJ.size);
    native.lcoreCreate({
      id: l.id,
      block,
      stats: segment.buffer,
      statsOffset: segment.lcoreOffset(l.id),
      rxQueues: l.ports.flatMap((p) => p.rxQueues.map((queue) => ({ port: ports.portOf(p.device), queue }))),
      txQueues: l.ports.map((p) => ({ port: ports.portOf(p.device), queue: p.txQueue })),
      redirectRing: REDIRECT_RING,
      conns,
      adjacencies,
    });
    undo.push(() => native.lcoreDestroy(l.id));
    return {
      id: l.id,
      name: l.name,
      cpu: l.cpu,
      lcores: n,
      idleSleep: config.idleSleep,
      mesh: { buffer: mesh.buffer, members: n + 1 },
      pool: { arena: pool.arena, bufferOffset: pool.bufferOffset },
      block,
      stats: {
        buffer: segment.buffer,
        offset: segment.lcoreOffset(l.id),
        destOffset: segment.destOffset(l.id),
        svcOffset: segment.svcOffset(l.id),
      },
      shared,
      conns,
      adjacencies,
      devices,
      config: stackConfig(config, n),
    };
  });

  const replica = new Replica(devices, 0, () => performance.now());
  const lcores = new Lcores({
    native,
    log,
    mesh,
    tasks,
    snapshot: () => replica.snapshot(),
  });
  undo.push(() => lcores.stop());
  await lcores.start();

  const rates = new Rates(segment, replica.services);
  undo.push(() => rates.stop());
  const alarms = new Alarms(segment, log);
  undo.push(() => alarms.stop());
  const masterCpu = config.workers.find((w) => w.type === 'master')?.cpuId ?? facts.allowedCpus[0]!;
  const clocks = tasks.map((t) => new Float64Array(t.block, LCORE_BLOCK.at.nowMs, 1));
  const clock = (): number => Math.max(...clocks.map((c) => c[0]!));
  const lists = new AccessLists(replica.services, new VerdictWriter(new Verdicts(shared.verdicts)));
  const queries = new Queries({
    lists,
    native,
    replica,
    lcores,
    ports,
    rates,
    limits: new DestLimits(shared.limits),
    clients: new Clients(new Templates(shared.templates, n), replica.services, clock),
    segment,
    plan,
    tasks,
    statsFile,
    masterCpu,
  });
  const controller = new Controller(
    replica,
    lcores,
    ports,
    queries,
    lists,
    log,
    process.env.DPVS_DEBUG === '1',
  );
  const checks = new DestChecks(replica.services, async (c) => controller.execute(c), log);
  lcores.onNotices = (notices) => checks.notice(notices, performance.now());
  const checking = setInterval(() => checks.tick(performance.now()), DestChecks.INTERVAL_MS);
  undo.push(() => clearInterval(checking));
  const lifetimes = setInterval(() => {
    for (const p of replica.inet.addresses.expired(performance.now())) {
      controller
        .execute({ op: 'addr.del', ...p })
        .catch((e: unknown) => log.error({ err: e }, 'address lifetime'));
    }
  }, 1000);
  undo.push(() => clearInterval(lifetimes));
  const server = await ControlServer.listen({
    path: ipcFile,
    handle: (method, params) => controller.handle(method, params),
    credentials: (fd) => native.peerCredentials(fd),
    onError: (e, method) => log.error({ err: e, method }, 'control socket'),
  });
  undo.push(() => server.close());
  log.info(
    { version: VERSION, lcores: n, ports: plan.devices.map((d) => d.name), socket: ipcFile },
    'dpvs runs',
  );
}
