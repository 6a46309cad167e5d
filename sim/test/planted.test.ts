import { expect, test } from 'vitest';
import type { FailureKind } from '../src/checkers/checker.ts';
import type { FaultKind, Plants } from '../src/options.ts';
import { runSeed } from '../src/run.ts';
import { platformHasher } from './hasher.ts';
import { ackBeforeDurable, executedTwice, readsWithoutRound, viewBeforeDurable } from './plants.ts';

interface Canary {
  readonly name: string;
  readonly plants: Plants;
  /** Named beforehand: another checker's finding does not count. */
  readonly checker: FailureKind;
  readonly faults: readonly FaultKind[];
  /** Where the search starts: close to a seed that is known to find it, so that the test stays short. */
  readonly firstSeed: number;
}

const canaries: readonly Canary[] = [
  {
    name: 'an acknowledgement before the prepare is durable (pitfall 20)',
    plants: ackBeforeDurable,
    checker: 'persistence',
    faults: ['crash-all', 'crash'],
    firstSeed: 1,
  },
  {
    name: 'do_view_change and start_view before the superblock is durable (pitfall 21)',
    plants: viewBeforeDurable,
    checker: 'persistence',
    faults: ['isolate', 'crash'],
    firstSeed: 1,
  },
  {
    name: 'a read without a confirmation round (pitfall 41)',
    plants: readsWithoutRound,
    checker: 'read-confirmation',
    faults: ['isolate', 'pause'],
    firstSeed: 6,
  },
  {
    name: 'a request executed twice (pitfall 42)',
    plants: executedTwice,
    checker: 'exactly-once',
    faults: ['client-cut', 'crash'],
    firstSeed: 2,
  },
];

const seedsMax = 40;
const timeoutMs = 240_000;

test.each(canaries)(
  '$name is caught by $checker',
  ({ plants, checker, faults, firstSeed }) => {
    const options = { nodes: 3, faults, seconds: 4 };
    const others: string[] = [];
    for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
      const planted = runSeed(seed, { ...options, plants }, platformHasher);
      if (planted.failure?.kind !== checker) {
        others.push(`${seed}: ${planted.failure?.kind ?? 'passed'}`);
        continue;
      }
      const healthy = runSeed(seed, options, platformHasher);
      expect(healthy.failure, `seed ${seed} passes without the plant`).toBeNull();
      return;
    }
    expect.fail(`no seed of ${seedsMax} was caught by ${checker}: ${others.join(', ')}`);
  },
  timeoutMs,
);
