import { randomU32 } from '@kimberlite/base';
import { expect, test } from 'vitest';
import { calmLink, SimNetwork } from '../src/network.ts';
import { SimClock } from '../src/clock.ts';
import { Scheduler } from '../src/scheduler.ts';
import { createTrace } from '../src/trace.ts';

test('events run by time, and at one time in the order they were scheduled', () => {
  const scheduler = new Scheduler(1);
  const seen: string[] = [];
  const note = (name: string) => () => seen.push(`${name}@${scheduler.nowUs}`);
  scheduler.after(30, note('c'));
  scheduler.after(10, note('a'));
  scheduler.after(30, note('d'));
  scheduler.after(20, () => {
    seen.push('b');
    scheduler.after(0, note('b2'));
  });
  const cancelled = scheduler.after(25, note('never'));
  scheduler.cancel(cancelled);
  scheduler.runUntil(29);
  expect(seen).toEqual(['a@10', 'b', 'b2@20']);
  expect(scheduler.nowUs).toBe(29);
  scheduler.runUntil(100);
  expect(seen).toEqual(['a@10', 'b', 'b2@20', 'c@30', 'd@30']);
  expect(scheduler.step()).toBe(false);
});

test('the heap keeps a thousand random times in order', () => {
  const scheduler = new Scheduler(2);
  const random = scheduler.random('times');
  const seen: number[] = [];
  for (let i = 0; i < 1000; i++) scheduler.after(randomU32(random) % 500, () => seen.push(scheduler.nowUs));
  scheduler.runUntil(500);
  expect(seen).toHaveLength(1000);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
});

test('generators differ by purpose and by seed, and repeat', () => {
  const draw = (seed: number, purpose: string) => randomU32(new Scheduler(seed).random(purpose));
  expect(draw(1, 'network')).toBe(draw(1, 'network'));
  const draws = new Set([draw(1, 'network'), draw(1, 'disk'), draw(2, 'network'), draw(2 ** 40 + 1, 'network')]);
  expect(draws.size).toBe(4);
});

function runNetwork(seed: number, faults: Partial<typeof calmLink>, prepare: (network: SimNetwork) => void = () => {}) {
  const scheduler = new Scheduler(seed);
  const trace = createTrace(false);
  const arrived: number[] = [];
  const network = new SimNetwork({
    scheduler,
    trace,
    nodes: 3,
    deliver: (_from, _to, frame) => arrived.push(frame[0] ?? -1),
  });
  network.setFaults({ ...calmLink, ...faults });
  prepare(network);
  for (let i = 0; i < 200; i++) scheduler.after(i * 50, () => network.send(0, 1, Uint8Array.of(i)));
  scheduler.runUntil(10_000_000);
  return { arrived, network, hash: trace.hash() };
}

test('a calm link delivers everything once and in order', () => {
  const { arrived } = runNetwork(3, {});
  expect(arrived).toEqual(Array.from({ length: 200 }, (_, i) => i));
});

test('loss, duplication, reordering and replay happen, are counted, and repeat with the seed', () => {
  const faults = { lossRate: 0.1, duplicateRate: 0.1, replayRate: 0.1, reorder: true, latencyMeanUs: 2000 };
  const keepOld = (network: SimNetwork): void => {
    network.keepsOld = true;
  };
  const one = runNetwork(4, faults, keepOld);
  const two = runNetwork(4, faults, keepOld);
  expect(one.arrived).toEqual(two.arrived);
  const { counts } = one.network;
  for (const name of ['lost', 'duplicated', 'reordered', 'replayed'] as const) expect(counts[name]).toBeGreaterThan(0);
  expect(one.arrived).not.toEqual([...one.arrived].sort((a, b) => a - b));
  expect(runNetwork(5, faults, keepOld).arrived).not.toEqual(one.arrived);
});

test('cuts are one-way, clogs hold, healing lets go', () => {
  const oneWay = runNetwork(6, {}, (network) => network.cut(1, 0, true));
  expect(oneWay.arrived).toHaveLength(200);
  expect(runNetwork(6, {}, (network) => network.cut(0, 1, true)).arrived).toHaveLength(0);
  const clogged = runNetwork(6, {}, (network) => network.clog(0, 1, true));
  expect(clogged.arrived).toHaveLength(0);
  expect(clogged.network.counts.clogged).toBe(200);
});

test('clocks skew and drift, and a boot starts the monotonic one anywhere', () => {
  const scheduler = new Scheduler(1);
  const clock = new SimClock(scheduler);
  const truth = new SimClock(scheduler);
  clock.setError({ skewUs: 5_000, driftPpm: 100 });
  scheduler.runUntil(10_000_000);
  expect(clock.read().realtimeUs - truth.read().realtimeUs).toBe(6_000);
  clock.boot(77);
  expect(clock.read().monotonicUs).toBe(77);
  clock.setError({ skewUs: 0, driftPpm: 0 });
  expect(clock.read().realtimeUs - truth.read().realtimeUs).toBe(1_000);
});
