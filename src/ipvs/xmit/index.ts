/** Registry of forwarding modes. */
import { DpvsError } from '../../core/errors.js';
import { dr } from './dr.js';
import { fullnat } from './fullnat.js';
import { nat } from './nat.js';
import { snat } from './snat.js';
import { tunnel } from './tunnel.js';
import type { Xmit } from './xmit.js';

export const XMITS: readonly Xmit[] = [nat, tunnel, dr, fullnat, snat];

/** By the number in connection records (the original's, 0 to 7). */
export const XMIT_BY_FWD: readonly (Xmit | undefined)[] = Array.from({ length: 8 }, (_, n) =>
  XMITS.find((x) => x.fwd === n),
);

/** @throws DpvsError NOTSUPP naming the modes that are there */
export function xmitByName(name: string): Xmit {
  const found = XMITS.find((x) => x.name === name);
  if (found) return found;
  throw new DpvsError(
    'NOTSUPP',
    `forwarding mode '${name}' is not supported`,
    `supported modes: ${XMITS.map((x) => x.name).join(', ')} (ipvsadm -m, -i, -g, -b)`,
  );
}
