import { UsageFailure } from '../failure.ts';

/** For `argParser`: what `--nodes` may be. */
export function nodeCount(text: string): 3 | 5 {
  if (text === '3') return 3;
  if (text === '5') return 5;
  throw new UsageFailure(
    `--nodes is 3 or 5, not "${text}": an even number of nodes survives no more losses than one less.`,
  );
}
