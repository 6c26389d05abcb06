/** Registry of schedulers: commands, help and `sched.list` follow from it. */
import { DpvsError } from '../../core/errors.js';
import { rr } from './rr.js';
import type { Scheduler } from './scheduler.js';
import { wlc } from './wlc.js';
import { wrr } from './wrr.js';

export const SCHEDULERS: readonly Scheduler[] = [rr, wrr, wlc];

/** @throws DpvsError NOTSUPP naming the registered ones */
export function schedulerByName(name: string): Scheduler {
  const found = SCHEDULERS.find((s) => s.name === name);
  if (found) return found;
  throw new DpvsError(
    'NOTSUPP',
    `scheduler '${name}' is not supported`,
    `supported schedulers: ${SCHEDULERS.map((s) => s.name).join(', ')}`,
  );
}
