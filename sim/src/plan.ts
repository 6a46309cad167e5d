import { type RandomState, randomChance, randomInt, randomPick } from '@kimberlite/base';
import { drawFaults } from './nemesis/draw.ts';
import type { FaultKind, RunOptions } from './options.ts';
import { shuffled } from './random.ts';
import type { WorkloadOptions } from './workload.ts';

/**
 * What is drawn from the seed before anything runs. Plain JSON: a run's plan and the list of its faults pin
 * everything but the seed's own draws of latencies and the like.
 */
export interface RunPlan {
  readonly nodes: number;
  /** Kinds of fault that are on. */
  readonly faults: readonly FaultKind[];
  /** Mean time between two faults that strike. */
  readonly meanIntervalUs: number;
  /** Virtual seconds of faults. */
  readonly seconds: number;
  /** Which code each client runs: the SDK's session, or the simulator's own plain one. */
  readonly clients: readonly ('sdk' | 'plain')[];
  readonly workload: WorkloadOptions;
  readonly giveUpUs: number;
  /** Replicas that stay dead when the faults stop: never more than a quorum can do without. */
  readonly leaveDown: readonly number[];
  /** At the end everything loses its power once more, and must still have everything. */
  readonly finalBlackout: boolean;
}

/** The plan a seed draws, with whatever the options pin put in its place. */
export function planRun(random: RandomState, options: RunOptions): RunPlan {
  const pinned = options.plan ?? {};
  const nodes = options.nodes ?? pinned.nodes ?? randomPick(random, [1, 3, 3, 3, 3, 3, 3, 5, 5, 5]);
  const faults = options.faults ?? pinned.faults ?? drawFaults(random, nodes);
  const minority = Math.ceil(nodes / 2) - 1;
  const down = randomChance(random, 0.3) ? randomInt(random, 0, minority) : 0;
  const everyone = Array.from({ length: nodes }, (_, index) => index);
  const drawn: RunPlan = {
    nodes,
    faults,
    // Short enough for every drawn kind to have its turn.
    meanIntervalUs: randomPick(random, [100_000, 300_000, 600_000, 1_200_000]),
    seconds: randomInt(random, 4, 10),
    clients: Array.from({ length: randomInt(random, 2, 6) }, () => randomPick(random, ['sdk', 'plain'] as const)),
    workload: {
      keys: randomPick(random, [2, 4, 8]),
      window: randomPick(random, [1, 1, 2, 4]),
      thinkUs: randomPick(random, [10_000, 40_000, 100_000]),
      readRate: randomPick(random, [0.2, 0.4, 0.6]),
      sharedRate: randomPick(random, [0, 0.1]),
    },
    giveUpUs: randomPick(random, [1_000_000, 3_000_000, 8_000_000]),
    leaveDown: faults.includes('rot') ? [] : shuffled(random, everyone).slice(0, down),
    finalBlackout: randomChance(random, 0.3),
  };
  const plan = { ...drawn, ...pinned, nodes, faults, seconds: options.seconds ?? pinned.seconds ?? drawn.seconds };
  // A plan cut down to fewer nodes still leaves a quorum.
  return { ...plan, leaveDown: plan.leaveDown.filter((replica) => replica < nodes).slice(0, minority) };
}
