import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { type DpvsOptions, dpvsConf } from '../../../bench/lib/forwarder.js';
import { capture, checksum, udpFrame } from '../../../bench/lib/frames.js';
import { ip, macNumber, range, text } from '../../../bench/lib/network.js';
import { ROOT } from '../../../bench/lib/paths.js';
import { num, parseHeader } from '../../../bench/lib/source.js';
import { barChart } from '../../../bench/lib/svg.js';
import { gapCauses } from '../../../bench/scenarios/quality.js';
import { requestsPerSecond } from '../../../bench/scenarios/veth.js';

describe('the control block of the source', () => {
  it('has no two fields of one number', () => {
    const header = readFileSync(join(ROOT, 'bench/native/source.h'), 'utf8');
    const fields = [...parseHeader(header)].filter(([name]) => name.startsWith('F_')).map(([, n]) => n);
    expect(fields.length).toBeGreaterThan(40);
    expect(new Set(fields).size).toBe(fields.length);
  });
  it('knows the numbers of orders and modes', () => {
    expect([num('ORDER_ARM'), num('MODE_RUN'), num('F_ORDER')]).toEqual([1, 2, 0]);
    expect(() => num('F_NONE')).toThrow('F_NONE');
    // The source is told the mode by its name.
    for (const fwd of ['FULLNAT', 'NAT', 'DR', 'TUNNEL', 'SNAT']) expect(num(`FWD_${fwd}`)).toBeLessThan(5);
  });
});

describe('addresses', () => {
  it('are numbers and text', () => {
    expect(ip('10.1.0.254')).toBe(0x0a0100fe);
    expect(text(0xfffefdfc)).toBe('255.254.253.252');
    expect(range('10.0.0.255', 2)).toEqual(['10.0.0.255', '10.0.1.0']);
  });
  it('of Ethernet have their first byte lowest', () => {
    expect(macNumber('02:00:00:00:01:fe')).toBe(0xfe0100000002n);
  });
});

describe('frames', () => {
  const frame = udpFrame({
    dmac: '02:70:63:61:70:00',
    smac: '02:00:00:00:01:fe',
    saddr: ip('16.0.0.7'),
    daddr: ip('10.1.0.1'),
    sport: 1024,
    dport: 80,
    id: 7,
  });
  it('have checksums that add up to nothing', () => {
    expect(checksum(frame.subarray(14, 34))).toBe(0);
    const pseudo = 0x1000 + 7 + 0x0a01 + 1 + 17 + 30;
    expect(checksum(frame.subarray(34), pseudo)).toBe(0);
  });
  it('are as long as they say', () => {
    expect([frame.length, frame.readUInt16BE(16), frame.readUInt16BE(38)]).toEqual([64, 50, 30]);
  });
  it('follow one another in a capture', () => {
    const file = capture([frame, frame]);
    expect(file.length).toBe(24 + 2 * (16 + 64));
    expect(file.readUInt32LE(0)).toBe(0xa1b2c3d4);
    expect(file.subarray(40, 104)).toEqual(frame);
  });
});

describe('the configuration of the measured daemon', () => {
  it.each<[string, DpvsOptions]>([
    ['small', { flowOffload: false }],
    ['large', { flowOffload: true, connections: 4_000_000, tcpTimeouts: { syn_recv: 1, established: 3600 } }],
  ])('is one that dpvs takes (%s)', (_, options) => {
    const dir = mkdtempSync(join(tmpdir(), 'dpvs-bench-test-'));
    try {
      writeFileSync(join(dir, 'dpvs.conf'), dpvsConf(options));
      const { config } = loadConfig(join(dir, 'dpvs.conf'));
      expect(config.netif.devices.map((d) => d.name)).toEqual(['dpdk0', 'dpdk1']);
      expect(config.ipvs.conn.poolSize).toBeGreaterThanOrEqual(options.connections ?? 65_536);
      expect(config.idleSleep).toBe('off');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('what other programs print', () => {
  it('wrk: requests a second', () => {
    expect(
      requestsPerSecond('Running 3s test\n  1 threads\nRequests/sec:  24629.37\nTransfer/sec: 1MB\n'),
    ).toBe(24629.37);
    expect(() => requestsPerSecond('unable to connect')).toThrow('unable to connect');
  });
});

describe('gaps between two polls', () => {
  const gap = { at: 0, wall: 0, off: 0, gc: 0, gcOff: 0, preempted: 0, waited: 0, faults: 0 };

  it('are told apart by what took the time, others not counted as ours', () => {
    const command = { ...gap, wall: 1.5, off: 0.25 };
    const collection = { ...gap, wall: 4, off: 3, gc: 3.5, gcOff: 2.75, preempted: 1 };
    const [gc, rest, any] = Object.values(gapCauses([command, collection]));
    expect(gc).toEqual({ worst: 0.75, above1: 0, longest: [collection, command] });
    expect(rest).toEqual({ worst: 1.25, above1: 1, longest: [command, collection] });
    expect(any).toEqual({ worst: 4, above1: 2, longest: [collection, command] });
  });
  it('that a collection has waited in are its own', () => {
    const { worst } = Object.values(
      gapCauses([{ ...gap, wall: 2, off: 1.5, gc: 2, gcOff: 1.5, waited: 1 }]),
    )[0]!;
    expect(worst).toBe(2);
  });
});

describe('charts', () => {
  it('are as long as their values and say them', () => {
    const svg = barChart('T <1>', 'Mpps', [
      { label: 'a', value: 10, series: 's' },
      { label: 'b', value: 5, series: 's', target: 2.5 },
    ]);
    const widths = [...svg.matchAll(/<rect x="230" y="\d+" width="([\d.]+)" height="18"/g)].map((m) =>
      Number(m[1]),
    );
    expect(widths).toEqual([400, 200]);
    expect(svg).toContain('M330.0');
    expect(svg).toContain('10 Mpps');
    expect(svg).toContain('T &lt;1>');
  });
});
