/** Full-NAT leaves numbers and options of TCP alone: what a test is about that says nothing else (IpvsConfig.tcp). */
export const UNTOUCHED = { rebase: false, keepTimestamps: true, toa: false, ackStorm: 999 };

/** Takes the chance out of what lcores share, so that sequence numbers of ours can be foretold. */
export function openSecret<T extends { secret: SharedArrayBuffer }>(shared: T): T {
  new Uint8Array(shared.secret).fill(7);
  return shared;
}
