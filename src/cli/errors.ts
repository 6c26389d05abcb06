/** What was wrong with a command line. */

export class UsageError extends Error {
  override readonly name = 'UsageError';

  /**
   * @param message one line, naming the offending word
   * @param exit exit code; each tool has its own default
   */
  constructor(
    message: string,
    readonly exit?: number,
  ) {
    super(message);
  }
}

/** An option that does not exist or lacks its value. */
export class OptionError extends UsageError {}

/** Known to the original, not supported by this version. */
export const notYet = (what: string, exit?: number): UsageError =>
  new UsageError(`${what} is not supported yet`, exit);
