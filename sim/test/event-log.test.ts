import { describe, expect, test } from 'vitest';
import { faultKinds, type RunOptions } from '../src/options.ts';
import { formatEvent } from '../src/report/format-event.ts';
import { recordRun } from '../src/report/record-run.ts';
import type { RunEvent } from '../src/report/run-event.ts';
import { type Execute, runSeed } from '../src/run.ts';
import { platformHasher } from './hasher.ts';
import { readsBeforeInherited } from './plants.ts';

const execute: Execute = (seed, options) => runSeed(seed, options, platformHasher);

const of = <Kind extends RunEvent['kind']>(
  events: readonly RunEvent[],
  kind: Kind,
): readonly Extract<RunEvent, { readonly kind: Kind }>[] =>
  events.filter((event): event is Extract<RunEvent, { readonly kind: Kind }> => event.kind === kind);

describe('a recorded run', () => {
  const options: RunOptions = { nodes: 3, seconds: 2, faults: ['crash', 'duplication', 'loss', 'client-cut', 'pause'] };
  const plain = execute(17, options);
  const { result, events, calls } = recordRun(17, options, execute);

  test('is the same run: recording draws nothing and schedules nothing', () => {
    expect(result.traceHash).toBe(plain.traceHash);
    expect(result.stats).toEqual(plain.stats);
  });

  test('has every message between replicas, and what arrives was sent before', () => {
    const sent = of(events, 'sent');
    const between = sent.filter(({ from, to }) => from.type === 'replica' && to.type === 'replica');
    expect(between).toHaveLength(result.stats.messages);
    const sentAt = new Map(sent.map((event) => [event.id, event]));
    for (const arrival of of(events, 'received')) {
      const origin = sentAt.get(arrival.id ?? -1);
      expect(origin?.from).toBe(arrival.from);
      expect(origin?.atUs).toBeLessThanOrEqual(arrival.atUs);
    }
    expect(sent.some(({ arrivals }) => arrivals === 0)).toBe(true);
    expect(sent.some(({ arrivals }) => arrivals === 2)).toBe(true);
  });

  test('has every call and its end, every fault, every crash', () => {
    expect(of(events, 'called')).toHaveLength(result.stats.calls);
    expect(calls).toHaveLength(result.stats.calls);
    expect(of(events, 'returned')).toHaveLength(result.stats.calls);
    expect(of(events, 'fault')).toHaveLength(result.script.length);
    expect(of(events, 'power').filter(({ power }) => power === 'off')).toHaveLength(result.stats.crashes);
  });

  test('says how each turn left its replica, where that changed', () => {
    const states = events.flatMap((event) => ('after' in event && event.after !== null ? [event.after] : []));
    expect(Math.max(...states.map(({ commit }) => commit))).toBe(result.stats.commits);
    expect(states.some(({ isPrimary }) => isPrimary)).toBe(true);
    expect(states.some(({ status }) => status.startsWith('view-change'))).toBe(true);
  });

  test('is in the order of time, a line an event', () => {
    expect(events.every((event, index) => index === 0 || (events[index - 1]?.atUs ?? 0) <= event.atUs)).toBe(true);
    const lines = events.map(formatEvent);
    expect(lines.filter((line) => line.includes('\n'))).toEqual([]);
    expect(lines.some((line) => / sent \d→\d #\d+ \d+ B prepare op \d+ view \d+ \(/.test(line))).toBe(true);
    expect(
      lines.some((line) => / received \d→\d #\d+ prepare-ok op \d+ view \d+ ⇒ primary, normal view /.test(line)),
    ).toBe(true);
    expect(lines.some((line) => / disk-done replica \d sync segment-/.test(line))).toBe(true);
  });
});

test('recording changes no run, whatever the faults', () => {
  const options: RunOptions = { nodes: 3, seconds: 1, faults: faultKinds };
  const { result } = recordRun(5, options, execute);
  expect(result.traceHash).toBe(execute(5, options).traceHash);
});

test('the failure is in its place among the events', () => {
  const options: RunOptions = {
    nodes: 3,
    seconds: 4,
    faults: ['isolate', 'crash', 'loss'],
    plants: readsBeforeInherited,
  };
  const failing = Array.from({ length: 20 }, (_, index) => index + 5).find(
    (seed) => execute(seed, options).failure?.kind === 'stale-read',
  );
  const { result, events } = recordRun(failing ?? 0, options, execute);
  const [failure] = of(events, 'failure');
  expect(failure).toMatchObject({
    checker: 'stale-read',
    message: result.failure?.message,
    atUs: result.failure?.atUs,
  });
  const before = events[events.findIndex(({ kind }) => kind === 'failure') - 1];
  expect(before).toMatchObject({ kind: 'returned', call: { type: 'get' } });
});
