/**
 * The whole stack of one lcore, as `Lcore` puts it together, on a native boundary of the test's choice: replica of the
 * control state, lite stack, load balancer. Commands are those of the control socket.
 */
import type { Command } from '../../src/control/schema.js';
import type { DropName } from '../../src/core/drops.js';
import { EVENT_KINDS, type EventName } from '../../src/core/events.js';
import { DEST_STATS, LCORE_STATS } from '../../src/core/layout.js';
import { SaPool } from '../../src/core/sapool.js';
import type { InetConfig } from '../../src/inet/inet.js';
import { flowIndex } from '../../src/ipvs/conn/flow-index.js';
import { takeShortWay } from '../../src/ipvs/established.js';
import { flowRules } from '../../src/ipvs/flow-rules.js';
import { AccessLists, type AclCommand } from '../../src/ipvs/acl/lists.js';
import { Verdicts } from '../../src/ipvs/acl/verdicts.js';
import { VerdictWriter } from '../../src/ipvs/acl/writer.js';
import { Ipvs } from '../../src/ipvs/ipvs.js';
import type { IpvsConfig } from '../../src/ipvs/ipvs.js';
import { sharedMemory } from '../../src/ipvs/shared.js';
import { Replica } from '../../src/lcore/replica.js';
import { deviceSpecs, Lab } from '../support/lab.js';
import type { LabNative, LabOptions } from '../support/lab.js';
import { openSecret, UNTOUCHED } from '../support/untouched.js';

export interface SceneOptions {
  ports?: LabOptions['ports'];
  config?: Partial<InetConfig> & IpvsConfig;
  setup?: readonly Command[];
  /** See LabOptions. */
  judge?: boolean;
  /** Packets of known connections are forwarded by the native loop. */
  flows?: boolean;
}

/** What is compared between boundaries: every counter of packets, and the drops by name. */
export interface Counters {
  stats: Record<string, number>;
  drops: Partial<Record<DropName, number>>;
}

const COMPARED = [
  'rxPackets',
  'rxBytes',
  'txPackets',
  'txBytes',
  'generated',
  'punted',
  'redirOut',
  'redirIn',
  'held',
  'allocFail',
  'conns',
] as const;

const DEST_SLOTS = 64;

export class Scene<N extends LabNative> {
  readonly lab: Lab<N>;
  readonly ipvs: Ipvs;
  private readonly replica: Replica;
  private readonly lists: AccessLists;

  constructor(native: N, o: SceneOptions = {}) {
    this.replica = new Replica(deviceSpecs(o.ports), native.lcore);
    const { models, config } = { models: this.replica.inet, config: o.config ?? {} };
    this.lab = withoutChance(
      () => new Lab({ models, config, ...(o.judge === undefined ? {} : { judge: o.judge }) }, native),
    );
    const { lab } = this;
    const saPool = new SaPool({ lcore: 0, lcores: 1 });
    const shared = openSecret(sharedMemory(1));
    const writer = new VerdictWriter(new Verdicts(shared.verdicts));
    this.lists = new AccessLists(this.replica.services, writer);
    const destStats =
      native.flows === undefined
        ? new Float64Array((DEST_SLOTS * DEST_STATS.size) >>> 3)
        : new Float64Array(native.stats, native.flows.destOffset);
    this.ipvs = withoutChance(
      () =>
        new Ipvs({
          packets: lab.packets,
          netif: lab.netif,
          inet: lab.inet,
          services: this.replica.services,
          saPool,
          index: flowIndex(native, native.lcore, native.block),
          conns: native.conns,
          destStats,
          shared,
          lcore: native.lcore,
          lcores: 1,
          config: { ...config, tcp: { ...UNTOUCHED, ...config.tcp } },
        }),
    );
    takeShortWay(lab.netif, lab.inet, this.ipvs);
    lab.onTick.push((now) => this.ipvs.tick(now));
    if (o.flows === true) {
      const { flows } = native;
      const { xmitTtl = false, tcp = UNTOUCHED } = config;
      const ackStorm = tcp.ackStorm ?? UNTOUCHED.ackStorm;
      flows!.rules(flowRules(flows!.destOffset, xmitTtl, undefined, ackStorm, shared.verdicts));
      lab.onMoved.push((c, move) => this.ipvs.moved(c, move));
      lab.netif.offload();
    }
    models.addresses.listen({ added: (ifa) => void (ifa.sapool && saPool.add(ifa.addr)) });
    for (const command of o.setup ?? []) this.command(command);
  }

  command(command: Command): void {
    const note = isAcl(command) ? this.lists.apply(command) : command;
    if (note !== undefined) this.replica.apply(note as Command);
    this.lab.run();
  }

  counters(): Counters {
    return {
      stats: Object.fromEntries(
        COMPARED.map((name) => [name, this.lab.packets.counters[LCORE_STATS.at[name] >>> 3]!]),
      ),
      drops: this.lab.drops(),
    };
  }

  /** Event counters that are not 0, by name. */
  events(): Partial<Record<EventName, number>> {
    const { counters } = this.lab.packets;
    const count = (i: number): number => counters[(LCORE_STATS.at.events >>> 3) + i]!;
    return Object.fromEntries(EVENT_KINDS.map(({ name }, i) => [name, count(i)]).filter(([, n]) => n !== 0));
  }
}

const isAcl = (c: Command): c is Command & AclCommand => c.op.startsWith('acl.');

/** Identifications of our own datagrams begin at 0x8001, so that every byte can be foretold. */
function withoutChance<T>(make: () => T): T {
  const random = Math.random;
  Math.random = () => 0.5;
  try {
    return make();
  } finally {
    Math.random = random;
  }
}
