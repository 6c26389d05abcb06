/** Which real servers the master takes out by passive checks, for how long, and how that goes with others who do. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Command, DestCheck } from '../../../src/control/schema.js';
import { Replica } from '../../../src/lcore/replica.js';
import { DestChecks } from '../../../src/master/dest-checks.js';
import type { Dest } from '../../../src/ipvs/service.js';

const svc = { proto: 'tcp', addr: '10.0.0.1', port: 80 } as const;
const dest = { addr: '192.168.0.2', port: 8080 };
const passive = { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } };

let replica: Replica;
let checks: DestChecks;
let commands: Command[];
let logs: string[];
let now: number;

beforeEach(() => {
  replica = new Replica([]);
  commands = [];
  logs = [];
  now = 1000;
  const execute = async (c: Command): Promise<void> => {
    replica.apply(c);
    commands.push(c);
  };
  const log = {
    info: (t: string) => logs.push(t),
    warn: (t: string) => logs.push(t),
    error: (t: string) => logs.push(t),
  };
  checks = new DestChecks(replica.services, execute, log as never);
});

function serve(check: Partial<DestCheck> & { passive?: DestCheck['passive'] } = { passive }): Dest {
  replica.apply({
    op: 'svc.add',
    svc,
    scheduler: 'rr',
    destCheck: { passive: null, external: [], ...check },
  });
  replica.apply({ op: 'dest.add', svc, dest, fwd: 'fullnat', weight: 7 });
  return replica.services.get(svc).dests[0]!;
}
const edit = (o: object): void => replica.apply({ op: 'dest.edit', svc, dest, ...o });
function tell(d: Dest, downs: number, ups = 0): void {
  checks.notice([{ slot: d.slot, addr: d.addr, port: d.port, downs, ups }], now);
}
/** Time passes. @returns seconds until it is back, or -1 */
function secondsOut(d: Dest, most = 10_000): number {
  for (let s = 0; s <= most; s++) {
    checks.tick(now);
    if (!d.checkInhibited) return s;
    now += 1000;
  }
  return -1;
}

describe('a real server', () => {
  it('that fails goes out by a command and comes back by one, with its weight; both are logged', () => {
    const d = serve();
    tell(d, 1);
    expect(commands).toEqual([{ op: 'dest.edit', svc, dest, checkInhibited: true }]);
    expect([d.checkInhibited, d.inhibited, d.weight]).toEqual([true, false, 7]);
    expect(secondsOut(d)).toBe(5);
    expect(commands[1]).toEqual({ op: 'dest.edit', svc, dest, checkInhibited: false });
    expect(logs).toEqual([
      'SERVICE: [cid 00, tcp, svc 10.0.0.1:80, rs 192.168.0.2:8080, weight 0, inhibited yes, down_notice_recvd 1, inhibit_duration 5s, origin_weight 7] notify slaves DOWN',
      'SERVICE: [cid 00, tcp, svc 10.0.0.1:80, rs 192.168.0.2:8080, weight 7, inhibited no, down_notice_recvd 0, inhibit_duration 10s, origin_weight 7] notify slaves UP',
    ]);
  });

  it('that fails again and again is out for twice as long each time, up to the longest', () => {
    const d = serve({ passive: { ...passive, restore: { upConfirm: 1, min: 5, max: 30 } } });
    const out = [1, 2, 3, 4, 5].map(() => {
      tell(d, 1);
      return secondsOut(d);
    });
    expect(out).toEqual([5, 10, 20, 30, 30]);
  });

  it('that proves good has its next time out halved, once in each period, down to the shortest', () => {
    const d = serve();
    for (let i = 0; i < 4; i++) {
      tell(d, 1);
      secondsOut(d);
    }
    const after = (ups: number[]): number => {
      for (const n of ups) {
        now += 3000;
        tell(d, 0, n);
      }
      now += 3000;
      tell(d, 1);
      return secondsOut(d);
    };
    expect(after([1])).toBe(40);
    expect(after([1, 1])).toBe(20);
    expect(after([0])).toBe(40);
    for (let i = 0; i < 100; i++) tell(d, 0, 50);
    now += 3000;
    tell(d, 1);
    expect(secondsOut(d)).toBe(40);
    expect(after([1, 1, 1, 1, 1, 1, 1, 1, 1])).toBe(5);
  });

  it('is out only after so many failures within the time', () => {
    const d = serve({ passive: { ...passive, downRetry: 3, downWait: 2 } });
    tell(d, 2);
    now += 2000;
    tell(d, 2);
    expect(d.checkInhibited).toBe(false);
    now += 1999;
    tell(d, 1);
    expect(d.checkInhibited).toBe(true);
  });

  it('is not proven good by fewer connections than asked for', () => {
    const d = serve({ passive: { ...passive, restore: { upConfirm: 5, min: 5, max: 3600 } } });
    for (let i = 0; i < 2; i++) {
      tell(d, 1);
      secondsOut(d);
    }
    now += 3000;
    tell(d, 0, 4);
    now += 3000;
    tell(d, 1);
    expect(secondsOut(d)).toBe(20);
  });

  it('without a time to come back stays out until somebody takes it back', () => {
    const d = serve({ passive: { downRetry: 1, downWait: 3 } });
    tell(d, 1);
    expect(secondsOut(d, 100_000)).toBe(-1);
    edit({ inhibited: false, checkInhibited: false });
    checks.tick(now);
    tell(d, 0, 1);
    expect(d.checkInhibited).toBe(false);
    tell(d, 1);
    expect(d.checkInhibited).toBe(true);
  });

  it('is not judged by connections from before it went out', () => {
    const d = serve();
    tell(d, 1);
    now += 1000;
    tell(d, 50);
    expect(secondsOut(d)).toBe(4);
    expect(commands).toHaveLength(2);
  });

  it('that others inhibit stays so, whatever its check says, and the other way round', () => {
    const d = serve();
    edit({ inhibited: true });
    tell(d, 1);
    secondsOut(d);
    expect([d.inhibited, d.checkInhibited]).toEqual([true, false]);
    tell(d, 1);
    edit({ inhibited: false });
    expect([d.inhibited, d.checkInhibited]).toEqual([false, true]);
    secondsOut(d);
    expect([d.inhibited, d.checkInhibited]).toEqual([false, false]);
    expect(d.weight).toBe(7);
  });

  it('is back at once, and as if new, when an operator says so', () => {
    const d = serve();
    for (let i = 0; i < 3; i++) {
      tell(d, 1);
      secondsOut(d);
    }
    tell(d, 1);
    edit({ inhibited: false, checkInhibited: false });
    tell(d, 1);
    expect(secondsOut(d)).toBe(5);
  });

  it('is back when its service is not checked any more', () => {
    const d = serve();
    tell(d, 1);
    replica.apply({ op: 'svc.edit', svc, destCheck: { passive: null, external: [] } });
    expect(secondsOut(d)).toBe(0);
    tell(d, 1);
    expect(commands).toHaveLength(2);
  });

  it('keeps its time out when weights or checks are edited', () => {
    const d = serve();
    tell(d, 1);
    edit({ weight: 9 });
    replica.apply({
      op: 'svc.edit',
      svc,
      destCheck: { passive: { ...passive, restore: { upConfirm: 1, min: 2, max: 4 } }, external: [] },
    });
    expect(secondsOut(d)).toBe(5);
    tell(d, 1);
    expect([secondsOut(d), d.weight]).toEqual([4, 9]);
  });

  it('that is removed is forgotten, also by notices about it or about the last holder of its slot', () => {
    const d = serve();
    tell(d, 1);
    replica.apply({ op: 'dest.del', svc, dest });
    tell(d, 1);
    expect(secondsOut({ ...d, checkInhibited: false })).toBe(0);
    checks.notice([{ slot: d.slot, addr: 1, port: 1, downs: 9, ups: 0 }], now);
    checks.notice([{ slot: 60_000, addr: 1, port: 1, downs: 9, ups: 0 }], now);
    expect(commands).toHaveLength(1);
  });
});

it('a replica made from a snapshot knows who is out, and why', () => {
  const d = serve();
  tell(d, 1);
  const other = new Replica([]);
  for (const c of replica.snapshot()) other.apply(c, true);
  expect(other.services.get(svc).dests[0]).toMatchObject({
    checkInhibited: true,
    inhibited: false,
    weight: 7,
  });
});
