/**
 * One lcore: its replica of the control state, its stack, and the loop that drives both:
 * poll -> stack -> flush -> messages -> timers. Runs on a worker thread of its own and never returns to
 * the event loop; everything it needs comes through shared memory.
 */
import type { Command } from '../control/schema.js';
import { DpvsError } from '../core/errors.js';
import { DEST_CAP, DEST_STATS, LCORE_BLOCK, SVC_CAP, SVC_STATS } from '../core/layout.js';
import type { Native } from '../core/native.js';
import { Packets } from '../core/packet.js';
import type { Ring } from '../core/ring.js';
import { SaPool } from '../core/sapool.js';
import type { Addresses } from '../inet/address.js';
import { InetStack } from '../inet/inet.js';
import { flowIndex } from '../ipvs/conn/flow-index.js';
import { takeShortWay } from '../ipvs/established.js';
import { flowRules } from '../ipvs/flow-rules.js';
import { Ipvs } from '../ipvs/ipvs.js';
import { Netif } from '../netif/netif.js';
import { formatIpv4 } from '../wire/ipv4.js';
import { Idle } from './idle.js';
import { MASTER, Mesh, type NeighLearnt, type Page, type ToLcore, type ToMaster } from './mesh.js';
import { Replica } from './replica.js';
import type { LcoreTask } from './task.js';

/** Packets for TypeScript that a poll takes at most, so that messages and timers are never far. */
const BUDGET = 256;
/** Busy polls between two looks at the message rings (an idle lcore looks each time). */
const MESSAGE_INTERVAL = 16;
/** Messages taken from a peer at a look, so that one that learns much cannot keep us from packets. */
const MESSAGES = 64;
/** Lines in one part of a list: some 0.3 ms. */
const PAGE = 64;

export class Lcore {
  private readonly id: number;
  private readonly mesh: Mesh;
  private readonly packets: Packets;
  private readonly replica: Replica;
  private readonly netif: Netif;
  private readonly inet: InetStack;
  private readonly saPool: SaPool;
  private readonly ipvs: Ipvs;
  private readonly idle: Idle;
  private readonly head: Int32Array;
  private readonly toMaster: Ring;
  private readonly fromMaster: Ring;
  private readonly fromPeers: Ring[] = [];
  private readonly toPeers: { id: number; ring: Ring }[] = [];

  constructor(
    private readonly task: LcoreTask,
    private readonly native: Native,
  ) {
    const { id, config } = task;
    this.id = id;
    this.mesh = new Mesh(task.mesh.buffer, task.mesh.members);
    this.toMaster = this.mesh.ring(id, MASTER);
    this.fromMaster = this.mesh.ring(MASTER, id);
    for (let peer = 1; peer < task.mesh.members; peer++) {
      if (peer === id) continue;
      this.fromPeers.push(this.mesh.ring(peer, id));
      this.toPeers.push({ id: peer, ring: this.mesh.ring(id, peer) });
    }
    this.head = new Int32Array(task.block, 0, LCORE_BLOCK.at.exc >>> 2);
    this.packets = new Packets({
      arena: task.pool.arena,
      bufferOffset: task.pool.bufferOffset,
      block: task.block,
      stats: { buffer: task.stats.buffer, offset: task.stats.offset },
      lcore: id,
      flush: () => native.flush(id),
    });
    this.replica = new Replica(task.devices, id);
    this.netif = new Netif(this.packets, this.replica.inet.devices);
    this.inet = new InetStack({
      packets: this.packets,
      netif: this.netif,
      models: this.replica.inet,
      adjacencies: task.adjacencies,
      // One lcore speaks for all where one voice is enough (gratuitous ARP).
      announce: id === 1,
      config,
    });
    this.inet.neigh.onLearn((ifindex, addr, mac) => this.tellPeers({ t: 'neigh', ifindex, addr, mac }));
    this.inet.arp.onConflict((ifindex, addr, mac) => {
      const fields = { dev: this.replica.inet.devices.nameOf(ifindex), addr: formatIpv4(addr), mac };
      this.tell({ t: 'log', level: 'warn', msg: 'somebody else uses one of our addresses', fields });
    });
    const { poolHashSize } = config;
    this.saPool = new SaPool({ lcore: id - 1, lcores: task.lcores, poolHashSize, start: Math.random });
    keepPools(this.saPool, this.replica.inet.addresses);
    this.ipvs = new Ipvs({
      packets: this.packets,
      netif: this.netif,
      inet: this.inet,
      services: this.replica.services,
      saPool: this.saPool,
      index: flowIndex(native, id, task.block),
      conns: task.conns,
      destStats: new Float64Array(
        task.stats.buffer,
        task.stats.destOffset,
        (DEST_STATS.size >>> 3) * DEST_CAP,
      ),
      svcStats: new Float64Array(task.stats.buffer, task.stats.svcOffset, (SVC_STATS.size >>> 3) * SVC_CAP),
      shared: task.shared,
      alert: (msg, fields) => this.tell({ t: 'log', level: 'warn', msg, fields: { lcore: id, ...fields } }),
      lcore: id,
      lcores: task.lcores,
      config,
    });
    const { destOffset, svcOffset } = task.stats;
    const { xmitTtl, tcp } = this.ipvs.x;
    native.flowRules(id, flowRules(destOffset, xmitTtl, svcOffset, tcp.ackStorm, task.shared.verdicts));
    this.ipvs.notices.send = (notices) => this.tell({ t: 'dests', notices });
    takeShortWay(this.netif, this.inet, this.ipvs);
    if (config.flowOffload) this.netif.offload();
    this.idle = new Idle(task.idleSleep, (us) => native.lcoreSleep(id, us));
  }

  /** Runs until the master says stop. */
  run(): void {
    const { packets, ipvs, idle, native, id, head } = this;
    const { services } = this.replica;
    native.poll(id, 0);
    for (const c of this.task.snapshot) this.replica.apply(c, true);
    while (services.build());
    if (this.task.rebuild) ipvs.rebuild();
    this.tell({ t: 'ready' });
    const stopAt = LCORE_BLOCK.at.stop >>> 2;
    const beatAt = LCORE_BLOCK.at.heartbeat >>> 2;
    const turn = turnOf(id, native, packets, this.netif, this.inet, ipvs);
    let told = 0;
    for (let loops = 0; Atomics.load(head, stopAt) === 0; loops++) {
      turn();
      const received = packets.received;
      head[beatAt]! += 1;
      // Where one was there may be more.
      const look = received === 0 || told > 0 || loops % MESSAGE_INTERVAL === 0;
      told = look ? this.messages() : 0;
      // Packets that had waited for a neighbour leave before the native loop forwards later ones.
      if (told > 0 && packets.pending()) native.flush(id);
      if (services.build() || received > 0 || told > 0) idle.busy();
      else idle.idle();
    }
  }

  /** Takes one from the master, so that a long batch of commands doesn't keep us from packets, and some from each peer. */
  private messages(): number {
    let n = 0;
    if (!this.fromMaster.isEmpty) {
      this.obey(this.fromMaster.receiveJson<ToLcore>()!);
      n++;
    }
    for (const ring of this.fromPeers) {
      for (let i = 0; i < MESSAGES && !ring.isEmpty; i++) {
        const m = ring.receiveJson<NeighLearnt>()!;
        this.inet.neigh.learn(m.ifindex, m.addr, m.mac);
        n++;
      }
    }
    return n;
  }

  private obey(m: ToLcore): void {
    switch (m.t) {
      case 'command':
        this.tell({ t: 'ack', seq: m.seq, ...this.applied(m.command) });
        break;
      case 'query':
        this.tell({
          t: 'reply',
          seq: m.seq,
          page: m.name === 'neigh' ? this.neighbours(m.from) : this.sapools(m.from),
        });
        break;
      case 'throw':
        throw new Error('told to fail');
    }
  }

  private applied(command: Command): { error?: ReturnType<DpvsError['toData']> } {
    try {
      this.replica.apply(command);
      return {};
    } catch (e) {
      if (e instanceof DpvsError) return { error: e.toData() };
      throw e;
    }
  }

  private neighbours(from: number): Page {
    const { lines, next } = this.inet.neigh.page(from, PAGE);
    return { lines: lines.map((e) => ({ core: this.id, ...e })), next };
  }

  private sapools(from: number): Page {
    const to = from + PAGE;
    return { lines: this.ipvs.laddrUse(from, to), next: to < this.saPool.slots ? to : 0 };
  }

  private tell(m: ToMaster): void {
    // The master reads its rings whatever else it does; a full ring is a burst of what can go.
    if (!this.toMaster.sendJson(m) && m.t !== 'log' && m.t !== 'dests') {
      while (!this.toMaster.sendJson(m));
    }
  }

  private tellPeers(m: NeighLearnt): void {
    for (const { id, ring } of this.toPeers) {
      // A full ring means a peer that does not run: it will ask for itself when it does.
      ring.sendJson(m);
      this.native.lcoreWake(id);
    }
  }
}

/** An address has a pool of local ports as long as it has the flag `sapool`. */
function keepPools(pool: SaPool, addresses: Addresses): void {
  const remove = (addr: number): void => {
    const slot = pool.slotOf(addr);
    if (slot >= 0) pool.remove(slot);
  };
  addresses.listen({
    added: (ifa) => void (ifa.sapool && pool.add(ifa.addr)),
    changed: (ifa, before) => {
      if (ifa.sapool && !before.sapool) pool.add(ifa.addr);
      else if (!ifa.sapool && before.sapool) remove(ifa.addr);
    },
    removed: (ifa) => void (ifa.sapool && remove(ifa.addr)),
  });
}

/**
 * Poll, stack, flush, timers.
 *
 * A closure that is made once and not the body of the endless loop: that is compiled while it runs, without knowledge of what
 * it captures; here every object of the stack is a constant to the compiler, and with it all that they keep in fields that
 * never change, down to the addresses of typed arrays.
 */
function turnOf(
  id: number,
  native: Native,
  packets: Packets,
  netif: Netif,
  inet: InetStack,
  ipvs: Ipvs,
): () => void {
  return () => {
    packets.setGeneration(inet.generation);
    const n = native.poll(id, BUDGET);
    const events = packets.eventCount;
    for (let i = 0; i < events; i++) ipvs.moved(packets.event(i), packets.move(i));
    for (let i = 0; i < n; i++) netif.receive(packets.exception(i));
    inet.tick(packets.nowMs);
    ipvs.tick(packets.nowMs);
    if (packets.pending()) native.flush(id);
  };
}
