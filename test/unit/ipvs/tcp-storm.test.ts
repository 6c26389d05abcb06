/** Storms of acknowledgements end, and nothing else does (src/ipvs/proto/tcp-storm.ts). */
import { beforeEach, describe, expect, it } from 'vitest';
import { tcp, type TcpOptions } from '../../support/frames.js';
import { UNTOUCHED } from '../../support/untouched.js';
import { CLIENT, LIP, Rig, RS, VIP } from './rig.js';

/** Block of the SACK option (RFC 2018 section 3). */
const SACK = [1, 1, 5, 10, 0, 0, 0, 110, 0, 0, 0, 120];
const THRESH = 10;
const LOCAL = `${LIP}:1025`;

let rig: Rig;

const client = (o: Partial<TcpOptions> = {}): number =>
  rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'A', seq: 101, ack: 501, ...o })).length;
const server = (o: Partial<TcpOptions> = {}): number =>
  rig.fromServer(tcp({ src: RS, dst: LOCAL, flags: 'A', seq: 501, ack: 101, window: 500, ...o })).length;
/** Packets that pass when the real server sends an acknowledgement `n` times, and the client does `between` before each. */
function passed(n: number, between: () => void, o: Partial<TcpOptions> = {}): number {
  let count = 0;
  for (let i = 0; i < n; i++) {
    between();
    count += server(o);
  }
  return count;
}
const bare = (): void => {
  expect(client()).toBe(1);
};

beforeEach(() => {
  rig = new Rig({ config: { tcp: { ...UNTOUCHED, ackStorm: THRESH } } });
  rig.serve();
  client({ flags: 'S', seq: 100, ack: 0, tcpOptions: [2, 4, 5, 180] });
  server({ flags: 'SA', seq: 500, ack: 101, tcpOptions: [2, 4, 5, 180] });
  client();
  // The first one that is alike: from here on the client is watched.
  server();
});

describe('a storm of acknowledgements', () => {
  it('is ended after so many rounds', () => {
    expect(passed(100, bare)).toBe(THRESH);
    expect(rig.drops).toEqual({ ACK_STORM: 100 - THRESH });
    expect(rig.imbalance).toBe(0);
  });

  it('is ended with timestamps that run on', () => {
    let clock = 0;
    // The first one that is alike says from where the client is watched.
    const stamp = (): number[] => [1, 1, 8, 10, 0, 0, 0, clock++ & 255, 0, 0, 0, 0];
    let count = 0;
    for (let i = 0; i < 100; i++) {
      expect(client({ tcpOptions: stamp() })).toBe(1);
      count += server({ tcpOptions: stamp() });
    }
    expect(count).toBe(1 + THRESH);
  });

  it('is ended when several acknowledgements are on the way at once', () => {
    const pair = (): void => {
      bare();
      bare();
      server();
    };
    passed(100, pair);
    expect(rig.drops['ACK_STORM']).toBeGreaterThan(150);
  });

  it('is over when the client sends data, and when the real server does', () => {
    passed(100, bare);
    expect(client({ flags: 'PA', data: 'x' })).toBe(1);
    expect(server()).toBe(1);
    passed(100, bare);
    expect(server({ flags: 'PA', data: 'x' })).toBe(1);
    expect(passed(THRESH, bare, { seq: 502 })).toBe(THRESH);
  });

  it('does not hold back an acknowledgement of more, another window or SACK blocks', () => {
    passed(100, bare);
    expect(server({ tcpOptions: SACK })).toBe(1);
    passed(100, bare);
    expect(server({ window: 501 })).toBe(1);
    passed(100, bare, { window: 501 });
    expect(server({ ack: 102, window: 501 })).toBe(1);
  });
});

describe('acknowledgements that are alike are left alone', () => {
  it('when each answers a segment of the client that came after a lost one', () => {
    let seq = 2000;
    const segment = (): void => void client({ flags: 'A', seq: seq++, data: 'x' });
    expect(passed(500, segment)).toBe(500);
    expect(rig.drops).toEqual({});
  });

  it('when the client had sent a whole window before the first of them', () => {
    for (let i = 0; i < 300; i++) client({ flags: 'A', seq: 2000 + i, data: 'x' });
    expect(passed(300, () => undefined)).toBe(300);
    expect(rig.drops).toEqual({});
  });

  it('when data and bare acknowledgements of the client take turns', () => {
    const both = (): void => {
      bare();
      client({ flags: 'PA', seq: 2000, data: 'x' });
      bare();
    };
    expect(passed(200, both)).toBe(200);
  });

  it('when they answer keep-alives', () => {
    const probe = (): void => {
      rig.advance(1000, 1000);
      client({ seq: 100 });
    };
    expect(passed(60, probe)).toBe(60);
  });

  it('when they answer probes of a closed window', () => {
    let wait = 100;
    const probe = (): void => {
      rig.advance(wait, wait);
      wait = Math.min(2 * wait, 8000);
      client({ seq: 100 });
    };
    expect(passed(12, probe, { window: 0 })).toBe(12);
  });
});
