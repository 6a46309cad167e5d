import { type RandomState, randomFloat } from '@kimberlite/base';

/** Natural logarithm for 0 < x <= 1 from basic arithmetic alone: Math.log may differ between engines. */
function naturalLog(x: number): number {
  let m = x;
  let halvings = 0;
  while (m < 0.5) {
    m *= 2;
    halvings += 1;
  }
  const z = (m - 1) / (m + 1);
  const zz = z * z;
  let power = z;
  let sum = 0;
  for (let k = 1; k <= 21; k += 2) {
    sum += power / k;
    power *= zz;
  }
  return 2 * sum - halvings * 0.6931471805599453;
}

/** Exponential with that mean, cut at twenty times it. */
export function randomExponential(random: RandomState, mean: number): number {
  return Math.min(20 * mean, -mean * naturalLog(1 - randomFloat(random)));
}

/** A new list in random order (Fisher and Yates). */
export function shuffled<T>(random: RandomState, items: readonly T[]): T[] {
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(randomFloat(random) * (i + 1));
    const swap = mixed[i] as T;
    mixed[i] = mixed[j] as T;
    mixed[j] = swap;
  }
  return mixed;
}
