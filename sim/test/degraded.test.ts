import { describe, expect, test } from 'vitest';
import { compareDegraded, degradedFailure, runDegraded } from '../src/degraded.ts';
import { platformHasher } from './hasher.ts';

const hasher = platformHasher;

describe.each([3, 5])('a group of %i', (nodes) => {
  test.each(['dead', 'stopped'] as const)(
    'pays at most a tenth more for a backup that is %s, delays fixed',
    (fault) => {
      const compared = compareDegraded({ seed: 1, nodes, fault, delays: 'fixed', hasher });
      expect(degradedFailure(compared)).toBeNull();
      const { ratio, healthy, degraded, inherent } = compared;
      expect(healthy.acknowledged).toBeGreaterThan(1000);
      expect(degraded.acknowledged).toBeGreaterThan(healthy.acknowledged * 0.9);
      for (const [name, value] of Object.entries(ratio)) expect(value, name).toBeLessThanOrEqual(1.1);
      // Without chance every backup is as good as any other.
      expect(inherent).toEqual({ writeUs: 0, readUs: 0 });
    },
  );
});

test('where delays vary, the loss of the faster of two acks is no fault of the protocol, and no more than that is lost', () => {
  const compared = compareDegraded({ seed: 1, nodes: 3, fault: 'dead', delays: 'random', hasher });
  const { healthy, degraded, inherent, ratio } = compared;
  expect(degradedFailure(compared)).toBeNull();
  // Taken as they are, the latencies differ by more than a tenth.
  expect(degraded.readMeanUs / healthy.readMeanUs).toBeGreaterThan(1.1);
  // The order statistic says by how much, in advance, from the healthy run alone.
  expect(inherent.writeUs).toBeGreaterThan(100);
  expect(inherent.readUs).toBeGreaterThan(100);
  for (const value of [ratio.writeMean, ratio.readMean]) expect(Math.abs(value - 1)).toBeLessThan(0.05);
});

test('a primary that waits for its dead backup fails the comparison', () => {
  const compared = compareDegraded({ seed: 1, nodes: 3, fault: 'dead', delays: 'random', hasher });
  const { degraded, healthy } = compared;
  const slow = { ...degraded, writeMeanUs: degraded.writeMeanUs + healthy.writeMeanUs * 0.2 };
  const ratio = { ...compared.ratio, writeMean: slow.writeMeanUs / (healthy.writeMeanUs + compared.inherent.writeUs) };
  expect(degradedFailure({ ...compared, degraded: slow, ratio })).toMatchObject({ kind: 'performance' });
  expect(degradedFailure({ ...compared, degraded: { ...degraded, acknowledged: 3 } })?.message).toMatch(/3 calls/);
});

test('a campaign draws its comparisons from the seed', () => {
  const run = runDegraded(7, hasher);
  expect(run).toMatchObject({ seed: 7, ok: true, failure: null });
  expect(runDegraded(7, hasher).report).toEqual(run.report);
});
