import { type RandomState, randomChance, randomInt } from '@kimberlite/base';
import type { LinkEnds } from './action.ts';

export type LinkShape = 'partition' | 'isolate' | 'one-way' | 'bridge' | 'flapping' | 'clog';

/** Which directions between which replicas a fault of that kind breaks, around one of them. */
export function drawLinks(random: RandomState, kind: LinkShape, nodes: number, victim: number): readonly LinkEnds[] {
  const everyone = Array.from({ length: nodes }, (_, index) => index);
  const pairs = everyone.flatMap((from) => everyone.filter((to) => to !== from).map((to): LinkEnds => [from, to]));
  switch (kind) {
    case 'partition': {
      const sides = everyone.map(() => randomInt(random, 0, 1));
      return pairs.filter(([from, to]) => sides[from] !== sides[to]);
    }
    case 'isolate':
      return pairs.filter(([from, to]) => from === victim || to === victim);
    case 'one-way': {
      const deaf = randomChance(random, 0.5);
      return pairs.filter(([from, to]) => (deaf ? to : from) === victim);
    }
    // Two halves that only one node sees both of.
    case 'bridge': {
      const sides = everyone.map(() => randomInt(random, 0, 1));
      return pairs.filter(([from, to]) => from !== victim && to !== victim && sides[from] !== sides[to]);
    }
    case 'flapping':
      return pairs.filter(([from, to]) => (from === victim || to === victim) && randomChance(random, 0.8));
    case 'clog':
      return pairs.filter(
        ([from, to]) => (from === victim && randomChance(random, 0.7)) || (to === victim && randomChance(random, 0.3)),
      );
  }
}
