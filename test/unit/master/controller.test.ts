/** How the master carries out commands: one by one, and many in one message. */
import { beforeEach, describe, expect, it, test } from 'vitest';
import type { Command } from '../../../src/control/schema.js';
import { Replica } from '../../../src/lcore/replica.js';
import { Controller } from '../../../src/master/controller.js';
import { macOf } from '../../support/lab.js';

const svc = (n: number): object => ({ proto: 'tcp', addr: `10.0.0.${n}`, port: 80 });
const add = (n: number): { method: string; params: object } => ({
  method: 'svc.add',
  params: { svc: svc(n) },
});

let replica: Replica;
let posted: Command[];
/** Acknowledges what was posted. */
let acks: (() => void)[];
let controller: Controller;

beforeEach(() => {
  replica = new Replica([{ name: 'dpdk0', portId: 0, mac: macOf(0), mtu: 1500 }]);
  posted = [];
  acks = [];
  const lcores = {
    apply: async (c: Command) => {
      posted.push(c);
      return new Promise<void>((resolve) => acks.push(resolve));
    },
  };
  controller = new Controller(
    replica,
    lcores as never,
    {} as never,
    {} as never,
    {} as never,
    { info() {} } as never,
    false,
  );
});

const services = (): string[] => replica.services.list().map((s) => s.name);

describe('many commands in one message', () => {
  it('are posted in order, and lcores are waited for once', async () => {
    let answer: unknown;
    const all = controller.handle('batch', { commands: [add(1), add(2), add(3)] }).then((r) => (answer = r));
    expect([posted.length, services()]).toEqual([
      3,
      ['tcp 10.0.0.1:80', 'tcp 10.0.0.2:80', 'tcp 10.0.0.3:80'],
    ]);
    acks[0]!();
    acks[1]!();
    await Promise.resolve();
    expect(answer).toBeUndefined();
    acks[2]!();
    await all;
    expect(answer).toEqual({ done: 3 });
  });

  it.each([
    ['that the model refuses', add(1), 'EXIST'],
    ['that its schema refuses', { method: 'svc.add', params: { svc: svc(9), weight: 1 } }, 'INVAL'],
    ['that there is not', { method: 'svc.list', params: {} }, 'NOTSUPP'],
  ])('end at the first %s; those before it are in force', async (_what, wrong, code) => {
    const all = controller.handle('batch', { commands: [add(1), wrong, add(2)] });
    acks.forEach((ack) => ack());
    expect(await all).toMatchObject({ done: 1, error: { code } });
    expect([posted.length, services()]).toEqual([1, ['tcp 10.0.0.1:80']]);
  });

  it('are refused as a whole when the message is wrong', async () => {
    for (const params of [{}, { commands: [{}] }, { commands: Array.from({ length: 1001 }, () => add(1)) }])
      await expect(controller.handle('batch', params)).rejects.toMatchObject({ code: 'INVAL' });
    expect(posted).toEqual([]);
  });
});

test('all services are removed at once, and one at a time on lcores, in the same order', async () => {
  for (const n of [1, 2, 3]) replica.apply({ op: 'svc.add', svc: svc(n), scheduler: 'rr' } as Command);
  const lcore = new Replica([{ name: 'dpdk0', portId: 0, mac: macOf(0), mtu: 1500 }], 1);
  for (const c of replica.snapshot()) lcore.apply(c, true);
  const done = controller.handle('svc.flush', {});
  expect([services(), posted]).toEqual([[], [1, 2, 3].map((n) => ({ op: 'svc.del', svc: svc(n) }))]);
  acks.forEach((ack) => ack());
  expect(await done).toBeNull();
  for (const c of posted) lcore.apply(c);
  expect(lcore.snapshot()).toEqual(replica.snapshot());
});

describe('a real server on an address of ours', () => {
  const dest = { addr: '192.168.0.7', port: 80 };
  beforeEach(() => {
    replica.apply({ op: 'addr.add', dev: 'dpdk0', addr: dest.addr, plen: 24 } as Command);
    replica.apply({ op: 'svc.add', svc: svc(1), scheduler: 'rr' } as Command);
  });

  it.each(['nat', 'dr', 'tunnel', 'fullnat'])('is refused with %s', (fwd) => {
    const c = { op: 'dest.add', svc: svc(1), dest, fwd } as Command;
    expect(() => replica.apply(c)).toThrow('real server 192.168.0.7 is an address of dpvs itself (dpdk0)');
    expect(replica.services.list()[0]!.dests).toEqual([]);
  });

  it('is what SNAT has: the address that connections leave from', () => {
    const match = { src: { from: '172.16.0.0', to: '172.16.0.255', fromPort: 0, toPort: 65535 } };
    const by = { proto: 'tcp', addr: '0.0.0.0', port: 0, match };
    replica.apply({ op: 'svc.add', svc: by, scheduler: 'rr' } as Command);
    replica.apply({ op: 'dest.add', svc: by, dest: { ...dest, port: 0 }, fwd: 'snat' } as Command);
    expect(replica.services.list()[1]!.dests).toHaveLength(1);
  });
});
