/** The loop of an lcore on the fake native boundary. */
import { expect, test } from 'vitest';
import { type Command, type CommandInput, type CommandName, COMMANDS } from '../../../src/control/schema.js';
import {
  ADJ,
  ADJ_CAP,
  DEST_CAP,
  DEST_STATS,
  LCORE_BLOCK,
  LCORE_STATS,
  SVC_CAP,
  SVC_STATS,
} from '../../../src/core/layout.js';
import type { Native } from '../../../src/core/native.js';
import { sharedMemory } from '../../../src/ipvs/shared.js';
import { Lcore } from '../../../src/lcore/lcore.js';
import { Mesh, type ToLcore, type ToMaster } from '../../../src/lcore/mesh.js';
import type { LcoreTask } from '../../../src/lcore/task.js';
import { FakeNative } from '../../support/fake-native.js';
import { arp, ping, summary } from '../../support/frames.js';
import { macOf } from '../../support/lab.js';

const command = <N extends CommandName>(op: N, params: CommandInput<N>): Command =>
  ({ op, ...COMMANDS[op].parse(params) }) as Command;

const at = (struct: { size: number }): number => Math.ceil(struct.size / 4096) * 4096;

function taskFor(fake: FakeNative, mesh: Mesh): LcoreTask {
  const stats = at(LCORE_STATS);
  const dests = at({ size: DEST_CAP * DEST_STATS.size });
  return {
    id: 1,
    name: 'cpu1',
    cpu: 0,
    lcores: 2,
    idleSleep: 'off',
    mesh: { buffer: mesh.buffer, members: 3 },
    pool: { arena: fake.arena, bufferOffset: fake.bufferOffset },
    block: fake.block,
    stats: {
      buffer: new SharedArrayBuffer(stats + dests + SVC_CAP * SVC_STATS.size),
      offset: 0,
      destOffset: stats,
      svcOffset: stats + dests,
    },
    shared: sharedMemory(2),
    conns: fake.conns,
    adjacencies: new SharedArrayBuffer(ADJ_CAP * ADJ.size),
    devices: [{ name: 'dpdk0', portId: 0, mac: macOf(0), mtu: 1500 }],
    config: {
      forwarding: true,
      defaultTtl: 64,
      neighTimeoutMs: 60_000,
      unresQueueLength: 4,
      unresTotalLength: 32,
      fragmentEntries: 64,
      fragmentBuffers: 64,
      fragmentTtlMs: 1000,
      poolHashSize: 16,
      xmitTtl: false,
      flowOffload: false,
      connInitTimeoutMs: 3000,
      expireQuiescentTemplate: false,
      tcpTimeoutsMs: {},
      udpTimeoutsMs: {},
    } as LcoreTask['config'],
    snapshot: [command('addr.add', { dev: 'dpdk0', addr: '10.0.0.1', plen: 24 })],
    rebuild: false,
  };
}

test('packets that had waited for a neighbour leave before the next poll forwards later ones', () => {
  const fake = new FakeNative();
  const mesh = Mesh.create(3);
  const head = new Uint32Array(fake.block);
  const waitingAtPoll: number[] = [];
  let polls = 0;
  const answers: string[] = [];
  const native = Object.assign(Object.create(fake) as FakeNative & Native, {
    flowRules: () => undefined,
    poll: (id: number, budget: number) => {
      polls++;
      // What the lcore says of itself when it begins is there before its first packet.
      if (polls > 3) waitingAtPoll.push(head[LCORE_BLOCK.at.txCount >>> 2]!);
      if (polls === 3) {
        const o = { smac: '02:00:00:00:00:09', dmac: macOf(0), src: '10.0.0.9', dst: '10.0.0.1' };
        fake.inject(0, ping(o));
      }
      // The neighbour has told another lcore who it is.
      if (polls === 6)
        mesh.ring(2, 1).sendJson({ t: 'neigh', ifindex: 1, addr: 0x0a000009, mac: '02:00:00:00:00:09' });
      if (polls === 60) Atomics.store(new Int32Array(fake.block), LCORE_BLOCK.at.stop >>> 2, 1);
      answers.push(...fake.sent(0).map(summary));
      return fake.poll(id, budget);
    },
    flush: (id: number) => fake.flush(id),
  });
  new Lcore(taskFor(fake, mesh), native).run();
  answers.push(...fake.sent(0).map(summary));
  expect(answers.at(-1)).toContain('icmp 10.0.0.1 > 10.0.0.9 type 0');
  expect(new Set(waitingAtPoll)).toEqual(new Set([0]));
});

test('between two commands of a batch there is a poll: it does not keep packets waiting', () => {
  const fake = new FakeNative();
  const mesh = Mesh.create(3);
  const acks: number[] = [];
  let polls = 0;
  const native = Object.assign(Object.create(fake) as FakeNative & Native, {
    flowRules: () => undefined,
    poll: (id: number, budget: number) => {
      const toMaster = mesh.ring(1, 0);
      let n = 0;
      while (!toMaster.isEmpty) if (toMaster.receiveJson<ToMaster>()!.t === 'ack') n++;
      acks.push(n);
      if (++polls === 3) {
        const toLcore = mesh.ring(0, 1);
        for (let seq = 1; seq <= 5; seq++) {
          const svc = { proto: 'tcp', addr: '10.0.0.1', port: seq } as const;
          const m = { t: 'command', seq, command: command('svc.add', { svc }) } satisfies ToLcore;
          toLcore.sendJson(m);
        }
      }
      // Packets that come all the time leave fewer looks at messages; once there is one, the next follows at once.
      if (polls > 3)
        fake.inject(0, ping({ smac: macOf(9), dmac: macOf(0), src: '10.0.0.9', dst: '10.0.0.1' }));
      if (polls === 60) Atomics.store(new Int32Array(fake.block), LCORE_BLOCK.at.stop >>> 2, 1);
      return fake.poll(id, budget);
    },
    flush: (id: number) => fake.flush(id),
  });
  new Lcore(taskFor(fake, mesh), native).run();
  expect(Math.max(...acks)).toBe(1);
  expect(acks.join('')).toContain('11111');
});

test('what is posted to a sleeper is seen before it sleeps again, whether or not it still slept', () => {
  const fake = new FakeNative();
  const mesh = Mesh.create(3);
  const acks: number[] = [];
  const sleeps: number[] = [];
  const native = Object.assign(Object.create(fake) as FakeNative & Native, {
    flowRules: () => undefined,
    poll: (id: number, budget: number) => fake.poll(id, budget),
    flush: (id: number) => fake.flush(id),
    lcoreSleep: (_id: number, us: number) => {
      const toMaster = mesh.ring(1, 0);
      while (!toMaster.isEmpty) if (toMaster.receiveJson<ToMaster>()!.t === 'ack') acks.push(sleeps.length);
      const seq = sleeps.push(us);
      if (seq === 5) Atomics.store(new Int32Array(fake.block), LCORE_BLOCK.at.stop >>> 2, 1);
      const svc = { proto: 'tcp', addr: '10.0.0.1', port: seq } as const;
      mesh.ring(0, 1).sendJson({ t: 'command', seq, command: command('svc.add', { svc }) } satisfies ToLcore);
    },
  });
  new Lcore({ ...taskFor(fake, mesh), idleSleep: 250 }, native).run();
  expect(sleeps).toEqual([250, 250, 250, 250, 250]);
  expect(acks).toEqual([1, 2, 3, 4]);
});

test('what an lcore learns of a neighbour it tells the others, and wakes them', () => {
  const fake = new FakeNative();
  const mesh = Mesh.create(3);
  const woken: unknown[] = [];
  let polls = 0;
  const native = Object.assign(Object.create(fake) as FakeNative & Native, {
    flowRules: () => undefined,
    poll: (id: number, budget: number) => {
      if (++polls === 3) {
        const o = { smac: '02:00:00:00:00:09', dmac: macOf(0), src: '10.0.0.9', dst: '10.0.0.1' };
        fake.inject(0, arp({ ...o, op: 1, sha: o.smac, spa: o.src, tpa: o.dst }));
      }
      if (polls === 60) Atomics.store(new Int32Array(fake.block), LCORE_BLOCK.at.stop >>> 2, 1);
      return fake.poll(id, budget);
    },
    flush: (id: number) => fake.flush(id),
    // It is there when they look.
    lcoreWake: (id: number) => void woken.push(id, mesh.ring(1, id).receiveJson()),
  });
  new Lcore(taskFor(fake, mesh), native).run();
  expect(woken).toEqual([2, { t: 'neigh', ifindex: 1, addr: 0x0a000009, mac: '02:00:00:00:00:09' }]);
});
