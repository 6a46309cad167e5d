import { randomFloat, type RandomState } from '@kimberlite/base';

/** First wait: a node that was restarted is back within a few of these. */
const firstMs = 10;

/**
 * Longest wait while the other machine answers that nobody listens there. Asking costs it nothing, and the moment the
 * process is back the pair should be connected.
 */
const refusedMaxMs = 80;

/** Longest wait otherwise: a machine that is gone, a name that does not resolve. */
const otherMaxMs = 1000;

/** Delay before the next attempt, after `failures` attempts in a row; jittered, so that a cluster does not knock in step. */
export function redialDelayMs(options: { failures: number; connectionRefused: boolean; random: RandomState }): number {
  const { failures, connectionRefused, random } = options;
  const cap = connectionRefused ? refusedMaxMs : otherMaxMs;
  const full = Math.min(cap, firstMs * 2 ** Math.min(failures, 16));
  return full * (0.5 + randomFloat(random) / 2);
}
