import { randomBytes, randomInt } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Table } from '@kimberlite/client';
import { type Database, connectTo } from '../cluster.ts';
import type { Endpoints } from '../endpoints.ts';
import { reportOf } from '../failure.ts';
import { type BenchDocument, type BenchMode, Measure } from './measure.ts';

export interface BenchOptions {
  readonly endpoints: Endpoints;
  /** Calls in flight at a time, over all connections. */
  readonly clients: number;
  readonly connections: number;
  /** The same load before the clock starts: what a process does for the first time is not what it does all day. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly valueBytes: number;
  readonly mode: BenchMode;
  /** Called now and then while it runs. */
  readonly onProgress: (measure: Measure, elapsedMs: number) => void;
  /** Ends the measurement early; what was measured counts. */
  readonly signal: AbortSignal;
}

/** Rows the load goes over: enough that writes do not all meet in one, few enough to be filled in a moment. */
const keys = 10_000;
/** Tenants of benchmarks lie far from those people number by hand. */
const tenantIdMin = 1_000_000_000;
const tableName = 'load';
const progressMs = 250;
/** After an error a lane waits this long, or an unreachable cluster would keep a core busy with failing. */
const pauseAfterErrorMs = 20;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function runBench(options: BenchOptions): Promise<BenchDocument> {
  const clients: Database[] = [];
  try {
    for (let i = 0; i < options.connections; i++) clients.push(await connectTo(options.endpoints));
    const [first] = clients;
    if (first === undefined) throw new Error('a benchmark has at least one connection');
    const tenantId = tenantIdMin + randomInt(1_000_000_000);
    await first.createTenant({ tenantId, name: `bench ${tenantId}` });
    try {
      return await loadTenant(options, clients, tenantId);
    } finally {
      await first.deleteTenant(tenantId);
    }
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

async function loadTenant(
  options: BenchOptions,
  clients: readonly Database[],
  tenantId: number,
): Promise<BenchDocument> {
  const values = Array.from({ length: 64 }, () => new Uint8Array(randomBytes(options.valueBytes)));
  const valueAt = (i: number): Uint8Array => values[i % values.length] ?? new Uint8Array(0);
  const [first] = clients;
  await first?.tenant(tenantId).createTable(tableName, { columns: { id: 'int', value: 'bytes' }, primaryKey: ['id'] });
  const tables = clients.map((client) => client.tenant(tenantId).table(tableName));
  if (options.mode !== 'write') await fill(tables, valueAt, options.signal);
  const measure = new Measure();
  const warmUp = new Measure();
  const startMs = performance.now() + options.warmUpSeconds * 1000;
  const endMs = startMs + options.seconds * 1000;
  const running = (): boolean => performance.now() < endMs && !options.signal.aborted;
  const measureAt = (atMs: number): Measure => (atMs < startMs ? warmUp : measure);
  const progress = setInterval(() => {
    const nowMs = performance.now();
    options.onProgress(measureAt(nowMs), nowMs - startMs);
  }, progressMs);
  try {
    const lanes = Array.from({ length: options.clients }, (_, lane) => {
      const table = tables[lane % tables.length];
      return table && runLane({ table, lane, mode: options.mode, measureAt, running, valueAt });
    });
    await Promise.all(lanes);
  } finally {
    clearInterval(progress);
  }
  const elapsedMs = Math.max(0, performance.now() - startMs);
  const { mode, connections, valueBytes } = options;
  return measure.document({ mode, clients: options.clients, connections, valueBytes, elapsedMs });
}

/** Every key once, so that each read finds a row. */
async function fill(tables: readonly Table[], valueAt: (i: number) => Uint8Array, signal: AbortSignal): Promise<void> {
  let next = 0;
  const lane = async (table: Table): Promise<void> => {
    while (next < keys && !signal.aborted) {
      const id = next++;
      await table.upsert({ id, value: valueAt(id) });
    }
  };
  await Promise.all(tables.flatMap((table) => Array.from({ length: 256 }, () => lane(table))));
}

interface Lane {
  readonly table: Table;
  readonly lane: number;
  readonly mode: BenchMode;
  /** Where a call is counted that is made at this time. */
  readonly measureAt: (atMs: number) => Measure;
  readonly running: () => boolean;
  readonly valueAt: (i: number) => Uint8Array;
}

/** One call after another, as one client of many. Keys are scattered by a multiplier that is prime to their number. */
async function runLane({ table, lane, mode, measureAt, running, valueAt }: Lane): Promise<void> {
  for (let turn = 0; running(); turn++) {
    const id = (lane * 7919 + turn * 104_729) % keys;
    const kind = mode === 'mixed' ? ((turn + lane) % 2 === 0 ? 'read' : 'write') : mode;
    const sinceMs = performance.now();
    const measure = measureAt(sinceMs);
    try {
      if (kind === 'read') await table.get({ id });
      else await table.upsert({ id, value: valueAt(turn + lane) });
      measure.acknowledged(kind, sinceMs);
    } catch (error) {
      measure.failed(reportOf(error).code);
      await pause(pauseAfterErrorMs);
    }
  }
}
