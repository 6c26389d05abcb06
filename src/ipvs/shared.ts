/**
 * What all lcores share on the packet path, made once by the master. It is kept small and out of the way of established
 * connections: each part says who writes it and when.
 */
import { DEST_CAP, SVC_CAP } from '../core/layout.js';

export interface SharedMemory {
  /** `DestLimits`. */
  limits: SharedArrayBuffer;
  /** `Bandwidth`. */
  bandwidth: SharedArrayBuffer;
}

/** @param map zeroed shared memory of so many bytes */
export function sharedMemory(
  map: (bytes: number) => SharedArrayBuffer = (bytes) => new SharedArrayBuffer(bytes),
  dests: number = DEST_CAP,
  svcs: number = SVC_CAP,
): SharedMemory {
  return { limits: map(dests * 4), bandwidth: map(svcs * 8) };
}
