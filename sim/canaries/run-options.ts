import type { RunOptions } from '@kimberlite/sim';
import type { World } from './canary.ts';

/** What a seed of this world is run with: the same with the bug and without. */
export function runOptionsOf(world: Extract<World, { readonly type: 'run' }>): RunOptions {
  const { nodes, faults, seconds, plan, ploy } = world;
  return {
    nodes,
    faults,
    seconds,
    ...(plan === undefined ? {} : { plan }),
    ...(ploy === undefined ? {} : { ploy }),
  };
}
