import { expect, test } from 'vitest';
import { compareDegraded } from '../src/degraded.ts';
import { platformHasher } from './hasher.ts';

test.each(['dead', 'stopped'] as const)('a backup that is %s costs the others at most a tenth', (fault) => {
  const { ratio, healthy, degraded } = compareDegraded({ seed: 1, nodes: 3, fault, hasher: platformHasher });
  expect(healthy.acknowledged).toBeGreaterThan(1000);
  expect(degraded.acknowledged).toBeGreaterThan(healthy.acknowledged * 0.9);
  for (const [name, value] of Object.entries(ratio)) expect(value, name).toBeLessThanOrEqual(1.1);
});
