import { describe, expect, test } from 'vitest';
import { runSeed } from '../src/run.ts';
import { simulate } from '../src/entry.ts';
import { faultKinds } from '../src/options.ts';
import { platformHasher } from './hasher.ts';

describe('one seed, one run', () => {
  test('the same seed gives the same trace hash and the same numbers', () => {
    const once = runSeed(11, { nodes: 3, seconds: 2 }, platformHasher);
    const again = runSeed(11, { nodes: 3, seconds: 2 }, platformHasher);
    expect(once.failure).toBeNull();
    expect(again.traceHash).toBe(once.traceHash);
    expect(again.stats).toEqual(once.stats);
    expect(runSeed(12, { nodes: 3, seconds: 2 }, platformHasher).traceHash).not.toBe(once.traceHash);
  });

  test('its plan and the list of its faults give the same run, without drawing any', () => {
    for (const seed of [14, 15, 16]) {
      const drawn = runSeed(seed, {}, platformHasher);
      const pinned = JSON.parse(JSON.stringify({ plan: drawn.plan, script: drawn.script }));
      const replayed = runSeed(seed, pinned, platformHasher);
      expect(drawn.script.length).toBeGreaterThan(1);
      expect(drawn.script.at(-1)?.kind).toBe('calm');
      expect(replayed.traceHash).toBe(drawn.traceHash);
      expect(replayed.script).toEqual(drawn.script);
      expect(replayed.stats).toEqual(drawn.stats);
      const [first] = drawn.script;
      const fewer = runSeed(seed, { ...pinned, script: drawn.script.slice(0, 2) }, platformHasher);
      expect(first).toBeDefined();
      expect(fewer.traceHash).not.toBe(drawn.traceHash);
      expect(fewer.failure?.kind ?? 'hollow').toBe('hollow');
    }
  });

  test('keeping the trace changes nothing, and a line says what happened', () => {
    const plain = runSeed(13, { nodes: 3, seconds: 2, faults: ['crash'] }, platformHasher);
    const kept = runSeed(13, { nodes: 3, seconds: 2, faults: ['crash'], recordTrace: true }, platformHasher);
    expect(kept.traceHash).toBe(plain.traceHash);
    expect(kept.trace.some((line) => line.includes(' fault crash at '))).toBe(true);
    expect(plain.trace).toHaveLength(0);
  });
});

// Every kind of fault by itself, on the group size where it matters; swarms draw mixtures of them.
test.each(faultKinds)('a cluster outlives %s', (kind) => {
  const result = runSeed(21, { nodes: 3, seconds: 2, faults: [kind] }, platformHasher);
  expect(result.failure).toBeNull();
  expect(result.stats.faults[kind]).toBeGreaterThan(0);
  expect(result.stats.acknowledged).toBeGreaterThan(30);
});

test.each([1, 5])('a group of %i outlives crashes of everybody', (nodes) => {
  const result = runSeed(31, { nodes, seconds: 2, faults: ['crash-all', 'crash-mid-turn'] }, platformHasher);
  expect(result.failure).toBeNull();
  expect(result.stats.crashes).toBeGreaterThan(nodes);
});

test('many seeds make one report', async () => {
  const progress: number[] = [];
  const report = await simulate({
    seed: 1000,
    runs: 3,
    nodes: 3,
    hasher: platformHasher,
    onProgress: ({ runs }) => progress.push(runs),
  });
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ runs: 3, passed: 3 });
  expect(report.traceHash).toMatch(/^[0-9a-f]{16}$/);
  expect(report.simulatedSeconds).toBeGreaterThan(10);
  expect(progress).toEqual([1, 2, 3]);
  const aborted = await simulate({ seed: 1, runs: 3, signal: { aborted: true } });
  expect(aborted.runs).toBe(0);
});
