/**
 * The one error type of dpvs. Every failure that a user can cause or see is a `DpvsError` with a
 * stable code; the codes and their numbers are those of the original (`ipvsadm` exits with `-errno`
 * modulo 256, scripts rely on it).
 */

/** Stable codes with the original's number and the short text that `dpip` prints. */
export const ERRORS = {
  INVAL: { errno: -1, text: 'invalid parameter' },
  NOMEM: { errno: -2, text: 'no memory' },
  EXIST: { errno: -3, text: 'already exist' },
  NOTEXIST: { errno: -4, text: 'not exist' },
  NOROUTE: { errno: -8, text: 'no route' },
  DPDKAPIFAIL: { errno: -11, text: 'failed dpdk api' },
  BUSY: { errno: -13, text: 'resource busy' },
  NOTSUPP: { errno: -14, text: 'not support' },
  RESOURCE: { errno: -15, text: 'no resource' },
  OVERLOAD: { errno: -16, text: 'overloaded' },
  NOSERV: { errno: -17, text: 'no service' },
  DISABLED: { errno: -18, text: 'disabled' },
  NOROOM: { errno: -19, text: 'no room' },
  IO: { errno: -22, text: 'I/O error' },
  SYSCALL: { errno: -26, text: 'system call failed' },
  NODEV: { errno: -27, text: 'no such device' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** What an error looks like on the control socket. */
export interface ErrorData {
  code: ErrorCode;
  errno: number;
  message: string;
  hint?: string;
}

export class DpvsError extends Error {
  override readonly name = 'DpvsError';

  /**
   * @param code stable code, see {@link ERRORS}
   * @param message what was wrong, with the offending value and where it was
   * @param hint what to do about it
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }

  get errno(): number {
    return ERRORS[this.code].errno;
  }

  toData(): ErrorData {
    const { code, errno, message, hint } = this;
    return hint === undefined ? { code, errno, message } : { code, errno, message, hint };
  }

  static fromData(data: ErrorData): DpvsError {
    return new DpvsError(data.code, data.message, data.hint);
  }
}
