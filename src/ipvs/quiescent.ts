import type { Dest } from './service.js';

/** True when a real server is taken for dead, by a command or by its passive check. */
export const isInhibited = (d: Dest): boolean => d.inhibited || d.checkInhibited;

/** True when a real server gets no new connections. */
export const isQuiescent = (d: Dest): boolean => d.removed || isInhibited(d) || d.weight === 0;
