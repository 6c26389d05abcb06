/** What is known of addresses by the modes of real servers, and for how long. */
import { describe, expect, it } from 'vitest';
import { ownerByHash } from '../../../src/ipvs/owner.js';
import { Services } from '../../../src/ipvs/service.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';

const TCP = 6;
const svc = { proto: 'tcp', addr: '10.1.1.1', port: 80 } as const;
const [vip, rs] = ['10.1.1.1', '192.168.0.2'].map(parseIpv4) as [number, number];
const options = { weight: 1, maxConn: 0, minConn: 0 };

function withServer(fwd: string, destCap?: number): Services {
  const s = new Services(0, destCap);
  s.apply('svc.add', { svc, scheduler: 'rr', connTimeout: 0 });
  s.apply('dest.add', { svc, dest: { addr: '192.168.0.2', port: 80 }, fwd, ...options });
  return s;
}
const known = ({ ends }: Services): boolean[] => [
  ends.isNat(TCP, rs, 80),
  ends.isNat(TCP, vip, 80),
  ends.isShared(vip),
  ends.isTunnel(rs),
];

describe('ends of connections', () => {
  it.each([
    ['nat', [true, true, false, false]],
    ['dr', [false, false, true, false]],
    ['tunnel', [false, false, true, true]],
    ['fullnat', [false, false, false, false]],
  ])('are known by mode %s', (fwd, what) => {
    expect(known(withServer(fwd))).toEqual(what);
  });

  it('stay while connections may: after an edit, a removal, in a copy made from a snapshot', () => {
    const s = withServer('nat');
    const dest = { addr: '192.168.0.2', port: 80 };
    s.apply('dest.edit', { svc, dest, fwd: 'tunnel' });
    expect(known(s)).toEqual([true, true, true, true]);
    const copy = new Services();
    for (const c of s.snapshot()) copy.apply(c.op, c);
    expect(known(copy)).toEqual([true, true, true, true]);
    expect(copy.snapshot()).toEqual(s.snapshot());
    s.apply('svc.flush', {});
    expect(known(s)).toEqual([true, true, true, true]);
    const again = new Services();
    for (const c of s.snapshot()) again.apply(c.op, c);
    expect(known(again)).toEqual([true, true, true, true]);
  });

  it('go when the slot goes to another server', () => {
    const s = withServer('nat', 3);
    const add = (n: number): void =>
      s.apply('dest.add', { svc, dest: { addr: `192.168.0.${n}`, port: 80 }, fwd: 'fullnat', ...options });
    s.apply('dest.del', { svc, dest: { addr: '192.168.0.2', port: 80 } });
    add(3);
    expect(known(s)).toEqual([true, true, false, false]);
    add(4);
    expect(known(s)).toEqual([false, false, false, false]);
  });

  it('are counted: one of two servers that goes leaves what the other says', () => {
    const s = withServer('nat', 3);
    s.apply('dest.add', { svc, dest: { addr: '192.168.0.3', port: 80 }, fwd: 'nat', ...options });
    s.apply('dest.del', { svc, dest: { addr: '192.168.0.2', port: 80 } });
    s.apply('dest.add', { svc, dest: { addr: '192.168.0.4', port: 80 }, fwd: 'dr', ...options });
    expect(known(s)).toEqual([false, true, true, false]);
  });
});

describe('the owner by hash', () => {
  it.each([1, 2, 3, 4, 7, 8, 16])('spreads clients evenly over %i lcores', (lcores) => {
    const shares = (of: (i: number) => number): number[] => {
      const n = Array.from({ length: lcores }, () => 0);
      for (let i = 0; i < 16_000; i++) n[of(i) - 1]!++;
      return n;
    };
    const even = 16_000 / lcores;
    for (const of of [
      (i: number) => ownerByHash(0x0a000001, 1024 + i, lcores),
      (i: number) => ownerByHash(0x0a000000 + i, 40_000, lcores),
      (i: number) => ownerByHash(0xc0a80000 + (i << 8), 50_000 + 2 * i, lcores),
    ]) {
      for (const share of shares(of)) expect(Math.abs(share - even)).toBeLessThan(6 * Math.sqrt(even));
    }
  });
});
