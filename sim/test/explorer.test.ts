import { expect, test } from 'vitest';
import { Convergence } from '../src/explorer/convergence.ts';
import { RandomWalks } from '../src/explorer/random-walks.ts';
import { reportExploration } from '../src/explorer/report.ts';
import type { StateSpace } from '../src/explorer/state-space.ts';
import { knownWorlds } from '../src/explorer/worlds.ts';
import { explore, smallWorld } from './explorer-worlds.ts';
import { platformHasher } from './hasher.ts';

test.each(knownWorlds.filter(({ quick }) => quick).map((known) => [known.world.name, known] as const))(
  'world %s: every property holds in every state, and what is expected is seen',
  { timeout: 300_000 },
  (_, { world, expects }) => {
    const report = reportExploration(explore(world), expects, 1);
    expect(report.violation).toBeNull();
    expect(report.finished).toBe(true);
    expect(report.missing).toEqual([]);
    expect(report.states).toBeGreaterThan(1000);
  },
);

const localDigests = (space: StateSpace): readonly string[] =>
  Array.from({ length: space.locals.size - 1 }, (_, i) => space.locals.digestOf(i + 1)).sort();

test.each([
  ['a view change', smallWorld],
  ['a view change, a slow superblock', { ...smallWorld, slowSuperblock: true }],
  ['a crash', { ...smallWorld, viewChanges: 0, crashes: 1, slowLog: true }],
  ['two ops', { ...smallWorld, requests: 2, viewChanges: 0, slowLog: true }],
] as const)('what is left out makes no difference: %s', { timeout: 120_000 }, (_, world) => {
  const reduced = explore(world);
  const whole = explore(world, { reduced: false });
  expect(whole.isDone && reduced.isDone).toBe(true);
  expect(whole.counts.states).toBeGreaterThan(reduced.counts.states);
  expect(localDigests(reduced.space)).toEqual(localDigests(whole.space));
  expect(reduced.sometimes).toEqual(whole.sometimes);
});

test.each([
  ['a view change', smallWorld],
  ['a crash', { ...smallWorld, crashes: 1 }],
] as const)('from every state the replicas can come to agree again: %s', { timeout: 120_000 }, (_, world) => {
  const convergence = new Convergence({ world, hasher: platformHasher, statesMax: 1_000_000 });
  while (!convergence.isDone && !convergence.isFull) convergence.advance(10_000);
  const { states, settled } = convergence.counts;
  expect(convergence.finding).toBeNull();
  expect(states).toBe(explore(world).counts.states);
  expect(settled).toBeGreaterThan(300);
});

test('the same exploration twice is the same', () => {
  const [first, second] = [explore(smallWorld), explore(smallWorld)];
  expect(first.counts).toEqual(second.counts);
  expect(localDigests(first.space)).toEqual(localDigests(second.space));
});

test('an exploration that is stopped says so', () => {
  const exploration = explore(smallWorld, { statesMax: 200 });
  expect(exploration.isFull).toBe(true);
  expect(exploration.isDone).toBe(false);
  expect(reportExploration(exploration, ['commits in view 4'], 1)).toMatchObject({ finished: false, ok: true });
});

test('an exploration that saw less than expected is hollow', () => {
  const report = reportExploration(explore(smallWorld), ['commits in view 4'], 1);
  expect(report).toMatchObject({ finished: true, ok: false, missing: ['commits in view 4'] });
});

test('random walks go beyond what can be visited, the same for the same seed', { timeout: 120_000 }, () => {
  const world = { ...smallWorld, requests: 2, retries: 1, viewChanges: 2, crashes: 1, slowLog: true };
  const walk = (seed: number): RandomWalks => {
    const walks = new RandomWalks({ world, hasher: platformHasher, seed, depthMax: 60 });
    walks.advance(15);
    return walks;
  };
  const [first, again, other] = [walk(1), walk(1), walk(2)];
  expect(first.finding).toBeNull();
  expect(first.counts.deepest).toBeGreaterThan(20);
  expect(again.counts).toEqual(first.counts);
  expect(other.counts).not.toEqual(first.counts);
});
