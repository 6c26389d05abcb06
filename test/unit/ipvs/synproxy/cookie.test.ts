/** SYN cookies: what they carry, how long they are good, and that nobody else can make one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Cookies,
  MINUTE_MS,
  MSS_TABLE,
  mssOf,
  NO_WSCALE,
  packData,
  sackOf,
  timestampOf,
  wscaleOf,
} from '../../../../src/ipvs/synproxy/cookie.js';

const secret = (word: number): Uint32Array => new Uint32Array(4).fill(word);
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const NOW = 5_000_000;

describe('a SYN cookie', () => {
  it('carries segment size, window scale, SACK and time stamps', () => {
    const cookies = new Cookies(secret(1), NOW);
    fc.assert(
      fc.property(
        u32,
        u32,
        u32,
        u32,
        fc.constantFrom(...MSS_TABLE),
        fc.integer({ min: 0, max: NO_WSCALE }),
        fc.boolean(),
        fc.boolean(),
        (saddr, daddr, ports, isn, mss, wscale, sack, timestamp) => {
          const data = packData(mss, wscale, sack, timestamp);
          const cookie = cookies.make(saddr, daddr, ports, isn, data);
          const seen = cookies.check(saddr, daddr, ports, isn, cookie);
          expect([mssOf(seen), wscaleOf(seen), sackOf(seen), timestampOf(seen)]).toEqual([
            mss,
            wscale,
            sack,
            timestamp,
          ]);
          expect(cookie).toBe(cookie >>> 0);
        },
      ),
    );
  });

  it.each([
    [1, 64],
    [64, 64],
    [535, 512],
    [536, 536],
    [1459, 1452],
    [1460, 1460],
    [9000, 8960],
    [65535, 8960],
  ])('rounds a segment size of %i down to %i', (mss, seen) => {
    expect(mssOf(packData(mss, 0, false, false))).toBe(seen);
  });

  it('is good for two minutes, bad after three, whatever the second', () => {
    for (let begin = NOW; begin < NOW + MINUTE_MS; begin += 1700) {
      const cookies = new Cookies(secret(1), begin);
      const cookie = cookies.make(1, 2, 3, 4, 5);
      for (let age = 0; age < 20 * MINUTE_MS; age += 7919) {
        cookies.tick(begin + age);
        const good = cookies.check(1, 2, 3, 4, cookie) === 5;
        if (age <= 2 * MINUTE_MS) expect(good, `${begin} + ${age}`).toBe(true);
        if (age >= 3 * MINUTE_MS) expect(good, `${begin} + ${age}`).toBe(false);
      }
    }
  });

  it('is good on an lcore that has not turned the page yet, and on one that was started later', () => {
    const early = new Cookies(secret(1), 10 * MINUTE_MS);
    const late = new Cookies(secret(1), 10 * MINUTE_MS - 1);
    expect(late.check(1, 2, 3, 4, early.make(1, 2, 3, 4, 99))).toBe(99);
    const again = new Cookies(secret(1), 12 * MINUTE_MS - 1);
    expect(again.check(1, 2, 3, 4, early.make(1, 2, 3, 4, 99))).toBe(99);
  });

  it('is signed anew each minute', () => {
    const cookies = new Cookies(secret(1), NOW);
    const seen = new Set<number>();
    for (let m = 0; m < 1000; m++) {
      cookies.tick(NOW + m * MINUTE_MS);
      seen.add(cookies.make(1, 2, 3, 4, 5) >>> 12);
    }
    expect(seen.size).toBeGreaterThan(990);
  });

  it('of another secret, client, service or first number is refused', () => {
    const cookies = new Cookies(secret(1), NOW);
    const cookie = cookies.make(1, 2, 3, 4, 5);
    expect(new Cookies(secret(2), NOW).check(1, 2, 3, 4, cookie)).toBe(-1);
    for (let bit = 0; bit < 32; bit++) {
      const other = (v: number): number => (v ^ (1 << bit)) >>> 0;
      expect(cookies.check(other(1), 2, 3, 4, cookie)).toBe(-1);
      expect(cookies.check(1, other(2), 3, 4, cookie)).toBe(-1);
      expect(cookies.check(1, 2, other(3), 4, cookie)).toBe(-1);
      expect(cookies.check(1, 2, 3, other(4), cookie)).toBe(-1);
      expect(cookies.check(1, 2, 3, 4, other(cookie))).toBe(-1);
    }
  });

  it('cannot be guessed: one of a million is taken', () => {
    const cookies = new Cookies(secret(1), NOW);
    let taken = 0;
    // A linear congruence over all numbers: what it gives looks like any other guess.
    for (let i = 0, guess = 12345; i < 500_000; i++) {
      guess = (Math.imul(guess, 1664525) + 1013904223) >>> 0;
      if (cookies.check(i, 2, 3, guess, guess) >= 0) taken++;
    }
    expect(taken).toBeLessThanOrEqual(4);
  });

  it('looks like chance to who has not the secret', () => {
    const cookies = new Cookies(secret(1), NOW);
    const seen = new Set<number>();
    const ones = new Uint32Array(20);
    for (let isn = 0; isn < 4096; isn++) {
      const hash = cookies.make(1, 2, 3, isn, 5) >>> 12;
      seen.add(hash);
      for (let bit = 0; bit < 20; bit++) ones[bit]! += (hash >>> bit) & 1;
    }
    expect(seen.size).toBeGreaterThan(4070);
    for (const n of ones) expect(Math.abs(n - 2048)).toBeLessThan(160);
  });
});
