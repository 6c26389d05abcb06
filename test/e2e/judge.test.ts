/** The judge itself: it must find what is wrong, or its silence is worth nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PREFIX } from '../../tools/test-ground.mjs';
import { judgeFile, pcapOf } from '../support/judge.js';

const dir = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-judge-`));
afterAll(() => rmSync(dir, { recursive: true }));

const sum16 = (b: Uint8Array, from: number, to: number, start = 0): number => {
  let s = start;
  for (let i = from; i < to; i += 2) s += (b[i]! << 8) | (i + 1 < to ? b[i + 1]! : 0);
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16);
  return ~s & 0xffff;
};

/** A correct UDP datagram of 20 bytes, 192.168.100.100:7 to 192.168.100.3:9. */
function goodFrame(): Buffer {
  const f = Buffer.alloc(62);
  Buffer.from('020000000001020000000002', 'hex').copy(f);
  f.writeUInt16BE(0x0800, 12);
  Buffer.from('45000030000140004011', 'hex').copy(f, 14);
  Buffer.from([192, 168, 100, 100, 192, 168, 100, 3]).copy(f, 26);
  f.writeUInt16BE(sum16(f, 14, 34), 24);
  f.writeUInt16BE(7, 34);
  f.writeUInt16BE(9, 36);
  f.writeUInt16BE(28, 38);
  f.fill('x', 42);
  const pseudo = ~sum16(f, 26, 34, 17 + 28) & 0xffff;
  f.writeUInt16BE(sum16(f, 34, 62, pseudo), 40);
  return f;
}

const changed = (how: (f: Buffer) => void): Buffer => {
  const f = goodFrame();
  how(f);
  return f;
};
const fixIp = (f: Buffer): void => {
  f.writeUInt16BE(0, 24);
  f.writeUInt16BE(sum16(f, 14, 34), 24);
};

async function judged(frame: Buffer, transport = true): Promise<number> {
  const file = join(dir, 'one.pcap');
  writeFileSync(file, pcapOf([goodFrame(), frame]));
  return (await judgeFile(file, { transport })).length;
}

describe('the judge of sent frames', () => {
  it('accepts a correct frame', async () => {
    expect(await judged(goodFrame())).toBe(0);
  });

  it.each([
    ['a wrong IPv4 checksum', (f: Buffer) => f.writeUInt16BE(f.readUInt16BE(24) ^ 1, 24)],
    ['a wrong UDP checksum', (f: Buffer) => f.writeUInt16BE(f.readUInt16BE(40) ^ 1, 40)],
    ['a payload byte changed', (f: Buffer) => (f[50]! ^= 1)],
    [
      'an IPv4 length beyond the frame',
      (f: Buffer) => {
        f.writeUInt16BE(100, 16);
        fixIp(f);
      },
    ],
    [
      'an IPv4 length short of the frame',
      (f: Buffer) => {
        f.writeUInt16BE(44, 16);
        fixIp(f);
      },
    ],
    [
      'a TTL of zero',
      (f: Buffer) => {
        f[22] = 0;
        fixIp(f);
      },
    ],
  ])('refuses %s', async (_what, how) => {
    expect(await judged(changed(how))).toBe(1);
  });

  it('leaves transport checksums aside when told to', async () => {
    expect(
      await judged(
        changed((f) => f.writeUInt16BE(f.readUInt16BE(40) ^ 1, 40)),
        false,
      ),
    ).toBe(0);
  });
});
