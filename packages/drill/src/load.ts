import { connect, type Database, KimberliteError } from '@kimberlite/client';

/** One call as a client saw it. Times are milliseconds of this process's monotonic clock. */
export interface Recorded {
  readonly client: number;
  readonly kind: 'insert' | 'write' | 'read';
  /** Register name, or the id of an inserted row. */
  readonly key: string;
  /** What was written, or what the read returned; null: no row. */
  readonly value: number | null;
  readonly invokedAt: number;
  /** Infinity: no answer is known. */
  readonly returnedAt: number;
  readonly outcome: 'ok' | 'not-applied' | 'unknown';
  /** Position of an acknowledged write. */
  readonly position?: number;
  /** Code of a typed error. */
  readonly code?: string;
  readonly error?: string;
}

const errorOf = (error: unknown): { code?: string; error: string } =>
  error instanceof KimberliteError ? { code: error.code, error: error.message } : { error: String(error) };

export interface LoadOptions {
  readonly endpoints: readonly string[];
  /** SDK clients, each with a session of its own. */
  readonly clients: number;
  /** Calls each client keeps in flight. */
  readonly concurrency: number;
  readonly registers: number;
  /** Gives up on connecting. */
  readonly signal?: AbortSignal;
}

export const drillTenant = 1;

export const registerName = (index: number): string => `r${index}`;

/**
 * Several SDK clients that insert rows, write and read registers, and remember everything they were told.
 * Every value is written once, so that a value read names the write it came from.
 */
export class Load {
  readonly history: Recorded[] = [];
  /** Moments at which anything was acknowledged, for the write gap. */
  readonly acknowledgedAt: number[] = [];
  private readonly options: LoadOptions;
  private readonly clients: Database[] = [];
  private nextValue = 1;
  private running = false;
  private loops: Promise<void>[] = [];

  constructor(options: LoadOptions) {
    this.options = options;
  }

  get acknowledged(): number {
    return this.acknowledgedAt.length;
  }

  /** Connects the clients; the first creates the tenant and its tables where they are missing. */
  async prepare(): Promise<void> {
    const { endpoints, clients, signal } = this.options;
    for (let i = 0; i < clients; i++) {
      this.clients.push(await connect({ endpoints: [...endpoints], ...(signal === undefined ? {} : { signal }) }));
    }
    const db = this.first();
    const create = async (work: Promise<unknown>): Promise<void> => {
      await work.catch((error: unknown) => {
        if (!(error instanceof KimberliteError && error.code.endsWith('AlreadyExists'))) throw error;
      });
    };
    await create(db.createTenant({ tenantId: drillTenant, name: 'drill' }));
    const tenant = db.tenant(drillTenant);
    await create(tenant.createTable('rows', { columns: { id: 'int', value: 'int' }, primaryKey: ['id'] }));
    await create(tenant.createTable('registers', { columns: { name: 'text', value: 'int' }, primaryKey: ['name'] }));
  }

  start(): void {
    this.running = true;
    this.loops = this.clients.flatMap((client, index) =>
      Array.from({ length: this.options.concurrency }, (_, lane) => this.run(client, index, lane)),
    );
  }

  /** Lets the calls in flight end; their outcomes are recorded. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.loops);
  }

  async close(): Promise<void> {
    this.running = false;
    await Promise.all(this.clients.map((client) => client.close()));
  }

  /** Registers with an acknowledged write that began after `at`. */
  writtenSince(at: number): number {
    const names = new Set<string>();
    // In the order of return: what returned before `at` began before it, and so did all that lies in front of it.
    for (let i = this.history.length - 1; i >= 0; i--) {
      const call = this.history[i];
      if (call === undefined || (call.outcome === 'ok' && call.returnedAt < at)) break;
      if (call.kind === 'write' && call.outcome === 'ok' && call.invokedAt > at) names.add(call.key);
    }
    return names.size;
  }

  /** Every row of a table with its version, read with the default consistency. */
  async readAll(table: 'rows' | 'registers'): Promise<Map<string, { value: number; version: number }>> {
    const found = new Map<string, { value: number; version: number }>();
    const key = table === 'rows' ? 'id' : 'name';
    let cursor: string | undefined;
    do {
      const page = await this.first()
        .tenant(drillTenant)
        .table(table)
        .query({ select: [key, 'value', '$version'], ...(cursor === undefined ? {} : { cursor }) });
      for (const row of page.rows) {
        const name = String(row[key]);
        if (found.has(name)) throw new Error(`the row ${name} of ${table} was returned twice`);
        found.set(name, { value: Number(row['value']), version: Number(row['$version']) });
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
    return found;
  }

  private first(): Database {
    const [db] = this.clients;
    if (db === undefined) throw new Error('prepare() comes first');
    return db;
  }

  private async run(client: Database, index: number, lane: number): Promise<void> {
    const tenant = client.tenant(drillTenant);
    const rows = tenant.table('rows');
    const registers = tenant.table('registers');
    for (let turn = lane; this.running; turn++) {
      const value = this.nextValue++;
      // Three calls that are close in time meet in one register, whatever number of lanes takes turns.
      const name = registerName(Math.floor(value / 3) % this.options.registers);
      if (turn % 3 === 0) {
        await this.record(index, 'insert', String(value), value, () => rows.insert({ id: value, value }));
      } else if (turn % 3 === 1) {
        await this.record(index, 'write', name, value, () => registers.upsert({ name, value }));
      } else {
        await this.recordRead(index, name, async () => {
          const row = await registers.get({ name });
          return row === undefined || row === null ? null : Number(row['value']);
        });
      }
    }
  }

  private async record(
    client: number,
    kind: 'insert' | 'write',
    key: string,
    value: number,
    call: () => Promise<{ position: number }>,
  ): Promise<void> {
    const invokedAt = performance.now();
    try {
      const { position } = await call();
      const returnedAt = performance.now();
      this.acknowledgedAt.push(returnedAt);
      this.history.push({ client, kind, key, value, invokedAt, returnedAt, outcome: 'ok', position });
    } catch (error) {
      const outcome = error instanceof KimberliteError ? error.outcome : 'unknown';
      const returnedAt = outcome === 'not-applied' ? performance.now() : Number.POSITIVE_INFINITY;
      this.history.push({ client, kind, key, value, invokedAt, returnedAt, outcome, ...errorOf(error) });
    }
  }

  private async recordRead(client: number, key: string, call: () => Promise<number | null>): Promise<void> {
    const invokedAt = performance.now();
    try {
      const value = await call();
      const returnedAt = performance.now();
      this.acknowledgedAt.push(returnedAt);
      this.history.push({ client, kind: 'read', key, value, invokedAt, returnedAt, outcome: 'ok' });
    } catch (error) {
      // A read that failed told nobody anything; it is kept for the count only.
      this.history.push({
        client,
        kind: 'read',
        key,
        value: null,
        invokedAt,
        returnedAt: Number.POSITIVE_INFINITY,
        outcome: 'unknown',
        ...errorOf(error),
      });
    }
  }
}

/** Longest interval, in milliseconds, without any acknowledgement, among those that touch [from, to]. */
export function longestGap(acknowledgedAt: readonly number[], from: number, to: number): number {
  let longest = 0;
  let previous = from;
  for (const at of acknowledgedAt) {
    if (at < from) {
      previous = at;
      continue;
    }
    longest = Math.max(longest, at - previous);
    previous = at;
    if (at > to) return longest;
  }
  return Math.max(longest, to - previous);
}
