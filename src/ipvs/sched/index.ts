/** Registry of schedulers: commands, help and `sched.list` follow from it. */
import { DpvsError } from '../../core/errors.js';
import { conhash } from './conhash.js';
import { dh } from './dh.js';
import { fo } from './fo.js';
import { lblc } from './lblc.js';
import { lblcr } from './lblcr.js';
import { lc } from './lc.js';
import { mh } from './mh.js';
import { nq } from './nq.js';
import { rr } from './rr.js';
import type { Scheduler } from './scheduler.js';
import { sed } from './sed.js';
import { sh } from './sh.js';
import { wlc } from './wlc.js';
import { wrr } from './wrr.js';

export const SCHEDULERS: readonly Scheduler[] = [
  rr,
  wrr,
  lc,
  wlc,
  sed,
  nq,
  sh,
  dh,
  conhash,
  mh,
  fo,
  lblc,
  lblcr,
] as readonly Scheduler[];

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

/**
 * The flags of a service, in the scheduler's order.
 * @param p what a command says
 * @param old flags until now, for what it does not say
 * @throws DpvsError INVAL: a flag or hash target that the scheduler does not have; NOTSUPP: hash target `qid`
 */
export function schedulerFlags(
  { name, flags = [], hashTargets }: Scheduler,
  p: { schedFlags?: readonly string[] | undefined; hashTarget?: string | undefined },
  old: readonly string[] = [],
): string[] {
  const wanted = p.schedFlags ?? old;
  const unknown = wanted.find((f) => !flags.includes(f));
  if (unknown !== undefined)
    throw new DpvsError(
      'INVAL',
      `scheduler '${name}' has no flag '${unknown}'`,
      flags.length === 0 ? 'it has no flags' : `its flags: ${flags.join(', ')}`,
    );
  if (p.hashTarget !== undefined && hashTargets?.includes(p.hashTarget) !== true) {
    if (hashTargets === undefined)
      throw new DpvsError('INVAL', `scheduler '${name}' has no hash target`, 'it goes with conhash');
    throw new DpvsError(
      'NOTSUPP',
      `hash target '${p.hashTarget}' is not supported`,
      `supported hash targets: ${hashTargets.join(', ')}`,
    );
  }
  return flags.filter((f) => wanted.includes(f));
}
