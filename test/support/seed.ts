/**
 * Property tests run with one seed, so that a run that was green stays green; `FC_SEED=random npm test` (or a number)
 * looks elsewhere. A failure prints its seed and the counterexample: make it a test of its own.
 */
import fc from 'fast-check';

const wanted = process.env['FC_SEED'] ?? '20261122';
if (wanted !== 'random') fc.configureGlobal({ seed: Number(wanted) });
