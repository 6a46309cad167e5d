import { expect, test } from 'vitest';
import { Walk } from './walk.ts';

// How long writes stop, and what a dead backup costs, in simulated time.

const quiet = {
  replicas: 3,
  clients: 4,
  requestsPerClient: 250,
  troubleSeconds: 8,
  calmSeconds: 30,
  drop: 0,
  duplicate: 0,
  crashEvery: 0,
  cutEvery: 0,
  pauseEvery: 0,
  rot: 0,
  crashAll: 0,
  ambush: 0,
  checkpointInterval: 10_000,
  loseEvery: 0,
  changeEvery: 0,
  flipEvery: 0,
  upgrades: false,
  staysDown: true,
};

/** Runs a cluster and takes one replica down for good after some seconds. */
function withDeath(seed: number, which: 'primary' | 'backup' | 'none'): Walk {
  const walk = new Walk({ ...quiet, seed });
  walk.agenda.add(3_000_000, () => {
    const primary = walk.nodes.find((n) => n.replica?.status === 'normal' && n.replica.view % 3 === n.id);
    const victim = walk.nodes.find((n) => (n === primary) === (which === 'primary'));
    if (which !== 'none' && victim !== undefined) walk.crash(victim);
  });
  walk.run();
  return walk;
}

const longestGapUs = (times: readonly number[]): number =>
  times
    .slice(0, Math.floor(times.length * 0.9))
    .reduce((longest, at, i) => Math.max(longest, at - (times[i - 1] ?? at)), 0);

test('a dead primary is replaced within half a second in the median, and always within one and a half', () => {
  const gaps: number[] = [];
  for (let seed = 1; seed <= 11; seed++) gaps.push(longestGapUs(withDeath(seed, 'primary').replyTimes) / 1000);
  gaps.sort((a, b) => a - b);
  expect(gaps[5]).toBeLessThan(450);
  expect(gaps[10]).toBeLessThan(1200);
});

test('a dead backup costs the others no messages, no bytes and no latency', () => {
  const perRequest = (walk: Walk, what: number): number => what / walk.acknowledged;
  const latencies: { healthy: number[]; degraded: number[] } = { healthy: [], degraded: [] };
  for (const seed of [5, 6, 7]) {
    const healthy = withDeath(seed, 'none');
    const degraded = withDeath(seed, 'backup');
    expect(degraded.acknowledged).toBe(healthy.acknowledged);
    expect(perRequest(degraded, degraded.messages)).toBeLessThan(1.1 * perRequest(healthy, healthy.messages));
    expect(perRequest(degraded, degraded.bytes)).toBeLessThan(1.1 * perRequest(healthy, healthy.bytes));
    latencies.healthy.push(...healthy.latencies);
    latencies.degraded.push(...degraded.latencies);
  }
  // Of several walks together: what a single one draws moves its median by some hundredths.
  const median = (times: readonly number[]): number =>
    [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
  expect(median(latencies.degraded)).toBeLessThan(1.1 * median(latencies.healthy));
});
