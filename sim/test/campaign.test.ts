import { expect, test } from 'vitest';
import type { Checksum, Hasher } from '@kimberlite/base';
import { executeRun, repeatEvery, type Runner, type RunReport, simulate } from '../src/entry.ts';
import { runSeed, type RunStats } from '../src/run.ts';
import { Tally } from '../src/tally.ts';
import { platformHasher } from './hasher.ts';

const stats: RunStats = { ...runSeed(3, { nodes: 1, seconds: 1 }, platformHasher).stats };

/** Ends runs in an order of its own: of `width` that are under way the last one begun ends first. */
function backwards(width: number, failing: readonly number[] = []): Runner {
  const waiting: (() => void)[] = [];
  const reportOf = (seed: number): RunReport => ({
    seed,
    failure: failing.includes(seed) ? { kind: 'agreement', message: `of ${seed}` } : null,
    traceHash: seed.toString(16).padStart(16, '0'),
    stats,
    wallSeconds: seed,
  });
  return {
    width,
    run: (seed) =>
      new Promise((resolve) => {
        waiting.push(() => resolve(reportOf(seed)));
        setImmediate(() => waiting.pop()?.());
      }),
  };
}

test('a report does not depend on how many ran at once, nor on which ended first', async () => {
  const of = (width: number) => simulate({ seed: 10, runs: 20, runner: backwards(width, [12, 11, 25]) });
  const [alone, four, many] = await Promise.all([of(1), of(4), of(7)]);
  expect([four.traceHash, many.traceHash]).toEqual([alone.traceHash, alone.traceHash]);
  expect(many.failures.map(({ seed }) => seed)).toEqual([11, 12, 25]);
  expect(many.failures).toEqual(alone.failures);
  expect(many.summary).toEqual(alone.summary);
  expect(many).toMatchObject({ runs: 20, passed: 17, jobs: 7, seed: 10 });
  expect((await simulate({ seed: 11, runs: 20, runner: backwards(4) })).traceHash).not.toBe(alone.traceHash);
});

test('every so many runs one is done twice, and a difference is a failure', () => {
  const options = { nodes: 1, faults: ['crash'] } as const;
  let calls = 0;
  const counting: Hasher = (bytes) => {
    calls += 1;
    return platformHasher(bytes);
  };
  runSeed(repeatEvery, options, counting);
  const ofOneRun = calls;
  // From the second run on other ids: what it takes from outside is not the same any more.
  const changing: Hasher = (bytes) => {
    calls += 1;
    const id = platformHasher(bytes);
    return calls > 2 * ofOneRun ? (`${id.slice(16)}${id.slice(0, 16)}` as Checksum) : id;
  };
  expect(executeRun(repeatEvery, options, changing).failure?.kind).toBe('nondeterminism');
  expect(executeRun(repeatEvery, options, platformHasher).failure).toBeNull();
  calls = 0;
  expect(executeRun(repeatEvery + 1, options, changing).failure).toBeNull();
});

test('a summary says what was in the runs', () => {
  const tally = new Tally();
  const seconds = [9.9, 10, 11, 30];
  for (const [i, simulatedSeconds] of seconds.entries()) {
    const faults: Record<string, number> = i === 2 ? { crash: 4, loss: 0 } : { crash: 4, rot: 1 };
    const more = { viewChanges: i, restartsDuringViewChange: i === 3 ? 1 : 0, marks: i > 1 ? ['a', 'b'] : ['a'] };
    tally.add(i, { ...stats, ...more, acknowledged: 200 + i, simulatedSeconds, faults }, i === 1 ? 7 : 2);
  }
  expect(tally.summary()).toMatchObject({
    // One is too short, one has a single kind of fault that struck.
    counted: 2,
    acknowledged: { min: 200, p10: 200, median: 201, p90: 203, max: 203, mean: 201.5 },
    faultKinds: { min: 1, max: 2 },
    viewChanges: { min: 0, median: 1, max: 3 },
    runsWithViewChange: 3,
    runsWithRestartDuringViewChange: 1,
    faults: { crash: { runs: 4, times: 16 }, rot: { runs: 3, times: 3 } },
    marks: { a: 4, b: 2 },
    slowest: { seed: 1, wallSeconds: 7 },
  });
});

test('a run that is lost is a failure and counts for nothing else', async () => {
  const lost: Runner = {
    width: 2,
    run: async (seed) => ({
      seed,
      failure: { kind: 'fatal', message: 'gone' },
      traceHash: '0'.repeat(16),
      stats: null,
      wallSeconds: 1,
    }),
  };
  const report = await simulate({ seed: 1, runs: 2, runner: lost });
  expect(report).toMatchObject({ runs: 2, passed: 0, simulatedSeconds: 0 });
  expect(report.failures).toHaveLength(2);
});
