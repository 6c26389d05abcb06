/** Exit codes of the original. */
export const EXIT_USAGE = 2;
export const EXIT_TRY_HELP = 255;
