import { expect, test } from 'vitest';
import { ealArgs, ealMemoryFor, type EalOptions } from '../../../src/master/eal.js';

const options = (more: Partial<EalOptions> = {}): EalOptions => ({
  pktpoolSize: 8191,
  hugepages: 'auto',
  memoryMb: 0,
  cpus: [0, 1],
  pci: true,
  userArgs: [],
  ...more,
});
const PLENTY = 4 * 2 ** 30;

test('enough free hugepages are used, without leaving files', () => {
  const { args, huge } = ealArgs(options(), PLENTY);
  expect(huge).toBe(true);
  expect(args).toEqual(['dpvs', '--lcores', '0@(0,1)', '--iova-mode=va', '--no-telemetry', '--in-memory']);
});

test('too few hugepages: ordinary memory, as much as the pool needs', () => {
  const { args, huge } = ealArgs(options(), ealMemoryFor(8191) - 1);
  expect(huge).toBe(false);
  expect(args).toContain('--no-huge');
  const mb = Number(args[args.indexOf('-m') + 1]);
  expect(mb * 2 ** 20).toBeGreaterThanOrEqual(ealMemoryFor(8191));
});

test.each([
  ['hugepages off', { hugepages: 'off' as const }, PLENTY, false],
  ['hugepages on although few are free', { hugepages: 'on' as const }, 0, true],
  ['--no-huge of the user', { userArgs: ['--no-huge'] }, PLENTY, false],
  ['--socket-mem of the user', { userArgs: ['--socket-mem=64'] }, 0, true],
])('%s decides', (_, more, free, huge) => {
  expect(ealArgs(options(more), free).huge).toBe(huge);
});

test("the user's arguments replace ours and are never doubled", () => {
  const userArgs = ['-l', '1', '--iova-mode=pa', '--file-prefix=x', '--telemetry'];
  expect(ealArgs(options({ userArgs }), PLENTY).args).toEqual(['dpvs', ...userArgs]);
});

test('without a device that needs it the PCI bus is left alone', () => {
  expect(ealArgs(options({ pci: false }), PLENTY).args).toContain('--no-pci');
  expect(ealArgs(options({ pci: false, userArgs: ['-a', '0000:06:00.0'] }), PLENTY).args).not.toContain(
    '--no-pci',
  );
});

test('memory of the configuration is a lower limit', () => {
  expect(ealArgs(options({ memoryMb: 2048 }), 2 ** 30).huge).toBe(false);
  expect(ealArgs(options({ memoryMb: 2048 }), 2 ** 30).args).toContain('2048');
});
