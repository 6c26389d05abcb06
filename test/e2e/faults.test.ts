/**
 * A cable between the client and everybody else that loses 5 % of the frames, reorders, duplicates and corrupts, from a seed
 * (test/support/agents/faults.py): what TCP carries through the balancer arrives as it was sent, in every mode.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Arms, FILE_BYTES } from '../support/arms.js';
import { settled } from '../support/balanced.js';
import { type Kept, until } from '../support/process.js';

const SEED = 20261122;
const PERCENT = { loss: 5, reorder: 2, duplicate: 1, corrupt: 1 };

describe.each([1, 2] as const)('with %i lcore(s)', (lcores) => {
  let a: Arms;
  let cable: Kept;
  beforeAll(async () => {
    a = await Arms.start({ arms: 1, lcores });
    cable = await a.t.faultyCable(SEED + lcores, PERCENT);
  });
  afterAll(() => a?.remove());

  it.each(['-b', '-m', '-g', '-i'] as const)(
    '%s: 20 MB arrive intact',
    async (mode) => {
      await a.serve({ rs1: mode });
      expect(await a.download()).toBe(a.fileSha);
    },
    70_000,
  );

  it.each(['-b', '-m'] as const)('%s: datagrams in fragments arrive intact or not at all', async (mode) => {
    await a.serve({ rs1: mode, rs2: mode });
    expect(await a.udpSizes(2900, 2930)).toMatchObject({ answered: 31, wrong: 0, unanswered: [] });
  });

  it('the cable did what it was told to; dpvs accounts for every packet and sent no wrong header', async () => {
    const { stdout } = await cable.stop();
    const done = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, number>;
    const { frames = 0 } = done;
    expect(frames).toBeGreaterThan((4 * FILE_BYTES) / 1500);
    for (const [what, percent] of [
      ['lost', PERCENT.loss],
      ['corrupted', PERCENT.corrupt],
      ['reordered', PERCENT.reorder],
      ['duplicated', PERCENT.duplicate],
    ] as const)
      expect(Math.abs((done[what]! * 100) / frames - percent), what).toBeLessThan(0.5);
    // Fragments whose others were lost wait a second.
    await until('nothing waits', async () => (await settled(a.daemon))['held'] === 0);
    // What the cable has damaged is handed on for the receiver to see.
    for (const { bad } of await a.judge({ transport: false })) expect(bad).toEqual([]);
  }, 120_000);
});
