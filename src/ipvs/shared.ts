/**
 * What all lcores share on the packet path, made once by the master. It is kept small and out of the way of established
 * connections: each part says who writes it and when.
 */
import { DEST_CAP, SVC_CAP } from '../core/layout.js';
import { Templates } from './templates.js';

export interface SharedMemory {
  /** `DestLimits`. */
  limits: SharedArrayBuffer;
  /** `Bandwidth`. */
  bandwidth: SharedArrayBuffer;
  /** `Templates`. */
  templates: SharedArrayBuffer;
}

/**
 * @param lcores data lcores
 * @param map zeroed shared memory of so many bytes
 * @param templates clients that persistence may know at a time; many fewer fit before one finds no room
 */
export function sharedMemory(
  lcores: number,
  map: (bytes: number) => SharedArrayBuffer = (bytes) => new SharedArrayBuffer(bytes),
  templates = 1024,
): SharedMemory {
  return {
    limits: map(DEST_CAP * 4),
    bandwidth: map(SVC_CAP * 8),
    templates: map(Templates.bytes(templates, lcores)),
  };
}
