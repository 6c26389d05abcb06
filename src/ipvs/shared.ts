/**
 * What all lcores share on the packet path, made once by the master. It is kept small and out of the way of established
 * connections: each part says who writes it and when.
 */
import { randomBytes } from 'node:crypto';
import { DEST_CAP, SVC_CAP } from '../core/layout.js';
import { Sources } from './sources.js';
import { verdictBytes } from './acl/verdicts.js';
import { Templates } from './templates.js';

export interface SharedMemory {
  /** `DestLimits`. */
  limits: SharedArrayBuffer;
  /** `Bandwidth`. */
  bandwidth: SharedArrayBuffer;
  /** `Templates`. */
  templates: SharedArrayBuffer;
  /** SECRET_WORDS of chance, the same for all lcores as long as the instance lives. */
  secret: SharedArrayBuffer;
  /** `Sources`. */
  sources: SharedArrayBuffer;
  /** `Verdicts`: written by the master alone. */
  verdicts: SharedArrayBuffer;
}

/** Words of `SharedMemory.secret`, by what they are the key of. */
export const SECRET_ISN = 0;
export const SECRET_COOKIE = 4;
/** Of `Sources`. */
export const SECRET_SOURCES = 15;
const SECRET_WORDS = 16;

/**
 * @param lcores data lcores
 * @param map zeroed shared memory of so many bytes
 * @param clients that persistence may know at a time, and sources that limits may know; many fewer fit before one finds no room
 * @param verdictBuckets a power of two; each takes five prefixes of black and white lists
 */
export function sharedMemory(
  lcores: number,
  map: (bytes: number) => SharedArrayBuffer = (bytes) => new SharedArrayBuffer(bytes),
  clients = 1024,
  verdictBuckets = 64,
): SharedMemory {
  const secret = map(SECRET_WORDS * 4);
  new Uint8Array(secret).set(randomBytes(secret.byteLength));
  return {
    secret,
    limits: map(DEST_CAP * 4),
    bandwidth: map(SVC_CAP * 8),
    templates: map(Templates.bytes(clients, lcores)),
    sources: map(Sources.bytes(clients, lcores)),
    verdicts: map(verdictBytes(verdictBuckets)),
  };
}
