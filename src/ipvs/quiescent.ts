import type { Dest } from './service.js';

/** True when a real server gets no new connections. */
export const isQuiescent = (d: Dest): boolean => d.removed || d.inhibited || d.weight === 0;
