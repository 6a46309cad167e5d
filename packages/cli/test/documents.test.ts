import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { op, type PrepareHeader, view } from '@kimberlite/base';
import type { ClusterStatus, ReplicaStatus } from '@kimberlite/client';
import type { HeaderRecord } from '@kimberlite/log';
import { type DurableState, initialDurableState } from '@kimberlite/vsr';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { Measure } from '../src/bench/measure.ts';
import { chooseEndpoints, parseEndpoints } from '../src/endpoints.ts';
import { committedAtLeast, endOfLog } from '../src/offline/replay.ts';
import { rowsTable } from '../src/rows-table.ts';
import { statusDocument } from '../src/status-document.ts';

describe('endpoints', () => {
  it('are the flag, else the variable, else the local dev cluster', () => {
    const env = { KIMBERLITE_ENDPOINTS: 'ws://b:2' };
    expect(chooseEndpoints('ws://a:1, ws://c:3/', env, '/')).toEqual(['ws://a:1', 'ws://c:3']);
    expect(chooseEndpoints(undefined, env, '/')).toEqual(['ws://b:2']);
    const local = ['ws://127.0.0.1:7001', 'ws://127.0.0.1:7002', 'ws://127.0.0.1:7003'];
    expect(chooseEndpoints(undefined, { KIMBERLITE_ENDPOINTS: ' ' }, '/')).toEqual(local);
  });

  it('of a local cluster with other ports are found by what it left', () => {
    const root = mkdtempSync(join(tmpdir(), 'kimberlite-endpoints-'));
    try {
      mkdirSync(join(root, '.kimberlite'));
      writeFileSync(join(root, '.kimberlite/cluster.json'), '{"basePort":9001,"nodes":5}');
      expect(chooseEndpoints(undefined, {}, root)).toHaveLength(5);
      expect(chooseEndpoints(undefined, {}, root)[4]).toBe('ws://127.0.0.1:9005');
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });

  it.each(['tcp://a:1', 'ws://', 'a:1', 'ws://u:p@a:1', 'ws://a:1?x', ''])('%j is none', (text) => {
    expect(() => parseEndpoints(text, '--endpoints')).toThrow(/Example/);
  });
});

describe('status', () => {
  const row = (replica: number, more: object = {}): ReplicaStatus =>
    ({
      replica,
      reachable: true,
      status: 'normal',
      role: 'backup',
      view: 4,
      commit: 10,
      ...more,
    }) as unknown as ReplicaStatus;
  const of = (replicas: ReplicaStatus[], canLose: number): ClusterStatus =>
    ({ cluster: 'c'.repeat(32), view: 4, primary: 1, canLose, replicas, unanswered: [] }) as unknown as ClusterStatus;

  it('says how far each is behind', () => {
    const document = statusDocument(of([row(0, { commit: 7 }), row(1, { role: 'primary' }), row(2)], 1));
    expect(document).toMatchObject({ primary: 1, canLose: 1, view: 4 });
    expect(document?.replicas.map(({ lag }) => lag)).toEqual([3, 0, 0]);
  });

  it('knows no primary, and nothing to lose, while nobody serves as one', () => {
    const changing = [row(0), row(1, { role: null, status: 'view-change' }), row(2)];
    expect(statusDocument(of(changing, 0))).toMatchObject({ primary: null, canLose: 0 });
    const deposed = [row(0), row(1, { role: 'primary', view: 3 }), row(2)];
    expect(statusDocument(of(deposed, 1))).toMatchObject({ primary: null, canLose: 0 });
  });

  it('is null when nobody answered', () => {
    expect(statusDocument({ ...of([], 0), cluster: null })).toBeNull();
  });
});

describe('the end of a log', () => {
  const header = (at: number, inView: number): [number, HeaderRecord] => [
    at,
    {
      state: 'header',
      header: { op: op(at), view: view(inView) } as unknown as PrepareHeader,
      place: { segment: 1, offset: 0, lengthBytes: 0 },
    },
  ];
  const durable = (more: Partial<DurableState>): DurableState => ({ ...initialDurableState(), ...more });
  const suffix = [{ op: op(5), id: null, header: null }];

  it('counts what the log view itself prepared above the suffix', () => {
    const headers = new Map([header(5, 1), header(6, 2), header(7, 2), header(8, 1)]);
    expect(endOfLog(durable({ view: view(2), logView: view(2), suffix }), headers)).toBe(7);
  });

  it('is frozen while a view change is under way (pitfall 52)', () => {
    const headers = new Map([header(5, 1), header(6, 2)]);
    expect(endOfLog(durable({ view: view(3), logView: view(2), suffix }), headers)).toBe(5);
  });

  it('is committed but for a pipeline', () => {
    expect(committedAtLeast(durable({ commit: op(3) }), 100)).toBe(92);
    expect(committedAtLeast(durable({ commit: op(99) }), 100)).toBe(99);
    expect(committedAtLeast(durable({}), 4)).toBe(0);
  });
});

it('a benchmark counts what was acknowledged and what was not', () => {
  const measure = new Measure();
  measure.acknowledged('read', performance.now() - 10);
  measure.acknowledged('write', performance.now() - 20);
  measure.failed('Overloaded');
  const document = measure.document({ mode: 'mixed', clients: 2, connections: 1, valueBytes: 8, elapsedMs: 500 });
  expect(document).toMatchObject({
    mode: 'mixed',
    clients: 2,
    connections: 1,
    seconds: 0.5,
    acknowledged: 2,
    errors: 1,
    opsPerSecond: 4,
    reads: 1,
    writes: 1,
    errorCodes: { Overloaded: 1 },
  });
  expect(document.p50Ms).toBeGreaterThanOrEqual(9);
  expect(document.maxMs).toBeGreaterThanOrEqual(document.p99Ms);
  const empty = new Measure().document({ mode: 'read', clients: 1, connections: 1, valueBytes: 0, elapsedMs: 0 });
  expect(empty).toMatchObject({ acknowledged: 0, opsPerSecond: 0, p50Ms: 0, maxMs: 0 });
});

it('a table shows control characters as what they are', () => {
  const terminal = {
    out: () => undefined,
    err: () => undefined,
    interactive: false,
    width: 80,
    colors: picocolors.createColors(false),
  };
  const text = rowsTable(terminal, [{ a: '\u001b[2J', b: null }, { c: { x: 1 } }]);
  expect(text).toContain('\\x1b[2J');
  expect(text).not.toContain('\u001b');
  expect(text).toMatch(/a +b +c/);
});
