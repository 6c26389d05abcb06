import { isQuiescent } from '../quiescent.js';
import type { Svc } from '../service.js';

/** True when no real server of the service takes new connections. */
export function isDead(svc: Svc): boolean {
  for (let i = 0; i < svc.dests.length; i++) if (!isQuiescent(svc.dests[i]!)) return false;
  return true;
}
