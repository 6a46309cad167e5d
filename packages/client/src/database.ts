import { isNatural } from '@kimberlite/base';
import type { ColumnInput, Command, CommandInput, OrderBy, Plan, Query, Row, Value, Where } from '@kimberlite/kernel';
import { encodeCommand, encodeQuery, type TypedAnswer, validate, validateQuery } from '@kimberlite/wire';
import { type CallOptions, type Driver, invalidOption, orThrow } from './driver.ts';
import { KimberliteError } from './session/failure.ts';
import { rejection } from './session/rejection.ts';
import type { CallResult, Level } from './session/session-types.ts';
import { type ClusterStatus, clusterStatus } from './status.ts';

export interface WriteOptions extends CallOptions {
  /** Makes the command take effect once across clients and restarts, within the documented window. */
  readonly idempotencyKey?: string;
}

export interface RowWriteOptions extends WriteOptions {
  /** Applies only while the row's `$version` is this (of an upsert, 0: while there is no such row). */
  readonly ifVersion?: number;
}

export interface ReadOptions extends CallOptions {
  /** Default `linearizable`. `local` may be stale; `{ atLeast }` has seen that position. */
  readonly consistency?: 'linearizable' | 'local' | { readonly atLeast: number };
}

/** What a command that was applied gives back. */
export interface WriteResult {
  /** Running number of the command; the row's `$version` after it. */
  readonly position: number;
  /** Microseconds since 1970. */
  readonly timestamp: number;
  readonly op: number;
  /** True when the idempotency key had been used before: this is the first outcome again. */
  readonly isReplay: boolean;
  readonly result?: unknown;
}

/** One command of `exec([…])`. */
export type ExecResult =
  | ({ readonly ok: true } & WriteResult)
  | { readonly ok: false; readonly error: KimberliteError };

export interface QueryResult {
  readonly rows: readonly Row[];
  /** Present when there may be more rows: pass it to the same query again. */
  readonly cursor?: string;
  readonly position: number;
  readonly timestamp: number;
  readonly plan?: Plan;
  /** Of a `local` read: microseconds since the replica last heard from a primary; null if it never did. */
  readonly staleForUs?: number | null;
}

export interface TableQuery {
  readonly where?: Where;
  readonly select?: readonly string[];
  readonly orderBy?: readonly OrderBy[];
  readonly limit?: number;
  readonly cursor?: string;
  readonly explain?: boolean;
}

/** Throws on anything else: the cluster hangs up on what it cannot read, and all calls would wait for that. */
function levelOf(consistency: unknown = 'linearizable'): Level {
  if (consistency === 'linearizable' || consistency === 'local') return { type: consistency };
  if (typeof consistency === 'object' && consistency !== null && 'atLeast' in consistency) {
    if (isNatural(consistency.atLeast)) return { type: 'at-least', position: consistency.atLeast };
  }
  const rule = "must be 'linearizable', 'local', or { atLeast: position } with a position from 0";
  throw new KimberliteError(invalidOption(`consistency: ${rule}`));
}

/** A connected client. Safe to share; calls take effect in the order they are issued. */
export class Database {
  private readonly driver: Driver;
  private readonly ints: 'auto' | 'bigint';

  constructor(driver: Driver, ints: 'auto' | 'bigint') {
    this.driver = driver;
    this.ints = ints;
  }

  /** Submits one command as the kernel has it, or a list in order: not atomic, and going on after a rejection. */
  exec(command: CommandInput, options?: WriteOptions): Promise<WriteResult>;
  exec(commands: readonly CommandInput[], options?: CallOptions): Promise<readonly ExecResult[]>;
  async exec(
    commands: CommandInput | readonly CommandInput[],
    options: WriteOptions = {},
  ): Promise<WriteResult | readonly ExecResult[]> {
    if (!isList(commands)) return writeResult(await this.submit(commands, options));
    // All are issued in this turn, in order, so they travel together.
    const results = await Promise.all(commands.map((command) => this.submit(command, options)));
    return results.map((result) => {
      if (result.type === 'failure') return { ok: false, error: new KimberliteError(result.failure) };
      return { ok: true, ...writeResult(result) };
    });
  }

  async query(query: Query, options: ReadOptions = {}): Promise<QueryResult> {
    const valid = validateQuery(query);
    if (!valid.ok) throw new KimberliteError(rejection(valid.error));
    const result = orThrow(await this.driver.query(encodeQuery(valid.value), levelOf(options.consistency), options));
    if (result.type !== 'answer') throw new TypeError('a query is answered');
    const { answer, staleForUs } = result;
    const { cursor, position, timestamp, plan } = answer;
    const rows = this.ints === 'bigint' ? withBigints(answer) : answer.rows;
    const found: { -readonly [K in keyof QueryResult]: QueryResult[K] } = { rows, position, timestamp };
    if (cursor !== undefined) found.cursor = cursor;
    if (plan !== undefined) found.plan = plan;
    if (options.consistency === 'local') found.staleForUs = staleForUs;
    return found;
  }

  createTenant(tenant: { tenantId: number; name: string; quotaBytes?: number }, options?: WriteOptions) {
    return this.exec({ type: 'CreateTenant', ...tenant }, options);
  }

  deleteTenant(tenantId: number, options?: WriteOptions): Promise<WriteResult> {
    return this.exec({ type: 'DeleteTenant', tenantId }, options);
  }

  tenant(tenantId: number): Tenant {
    return new Tenant(this, tenantId);
  }

  /** Asks every replica that can be found; unreachable ones are in it too. */
  status(options: { readonly timeoutMs?: number } = {}): Promise<ClusterStatus> {
    return clusterStatus(this.driver.look().endpoints, options);
  }

  /** Calls that are pending fail: `not-applied` if they were never sent, else `unknown`. */
  close(): Promise<void> {
    return this.driver.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private submit(input: CommandInput, options: WriteOptions): Promise<CallResult> {
    const { idempotencyKey } = options;
    const valid = validate(idempotencyKey === undefined ? input : { ...input, idempotencyId: idempotencyKey });
    if (!valid.ok) return Promise.resolve({ type: 'failure', failure: rejection(valid.error) });
    const command: Command = valid.value;
    return this.driver.command(encodeCommand(command), options);
  }
}

const isList = (value: CommandInput | readonly CommandInput[]): value is readonly CommandInput[] =>
  Array.isArray(value);

function writeResult(result: CallResult): WriteResult {
  const settled = orThrow(result);
  if (settled.type !== 'outcome') throw new TypeError('a command has an outcome');
  const { position, timestamp, op, isReplay, result: value } = settled.outcome;
  return { position, timestamp, op, isReplay, ...(value === undefined ? {} : { result: value }) };
}

/** Every int column as bigint, however small the number. */
function withBigints(answer: TypedAnswer): readonly Row[] {
  const names = Object.keys(answer.types).filter((name) => answer.types[name] === 'int');
  if (names.length === 0) return answer.rows;
  return answer.rows.map((row) => {
    const changed: Record<string, Value> = { ...row };
    for (const name of names) {
      const value = changed[name];
      if (typeof value === 'number') changed[name] = BigInt(value);
    }
    return changed;
  });
}

/** One tenant's tables. */
export class Tenant {
  readonly tenantId: number;
  private readonly database: Database;

  constructor(database: Database, tenantId: number) {
    this.database = database;
    this.tenantId = tenantId;
  }

  createTable(
    table: string,
    schema: { readonly columns: Readonly<Record<string, ColumnInput>>; readonly primaryKey: readonly string[] },
    options?: WriteOptions,
  ): Promise<WriteResult> {
    const { tenantId } = this;
    return this.database.exec({ type: 'CreateTable', tenantId, table, ...schema }, options);
  }

  dropTable(table: string, options?: WriteOptions): Promise<WriteResult> {
    return this.database.exec({ type: 'DropTable', tenantId: this.tenantId, table }, options);
  }

  createIndex(
    table: string,
    index: string,
    of: { readonly columns: readonly string[]; readonly unique?: boolean },
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.database.exec({ type: 'CreateIndex', tenantId: this.tenantId, table, index, ...of }, options);
  }

  dropIndex(index: string, options?: WriteOptions): Promise<WriteResult> {
    return this.database.exec({ type: 'DropIndex', tenantId: this.tenantId, index }, options);
  }

  /** The rows of `$tables`: what tables there are, with their columns. */
  async tables(options?: ReadOptions): Promise<readonly Row[]> {
    return (await this.database.query({ tenantId: this.tenantId, table: '$tables' }, options)).rows;
  }

  table(table: string): Table {
    return new Table(this.database, this.tenantId, table);
  }
}

/** One table. Rows and keys are plain objects of column name to value. */
export class Table {
  readonly tenantId: number;
  readonly name: string;
  private readonly database: Database;

  constructor(database: Database, tenantId: number, name: string) {
    this.database = database;
    this.tenantId = tenantId;
    this.name = name;
  }

  insert(row: Row, options?: WriteOptions): Promise<WriteResult> {
    return this.database.exec({ type: 'Insert', ...this.names(), row }, options);
  }

  /** Changes columns outside the primary key of a row that exists. */
  update(key: Row, set: Row, options?: RowWriteOptions): Promise<WriteResult> {
    return this.database.exec({ type: 'Update', ...this.names(), key, set, ...version(options) }, options);
  }

  /** Inserts the row, or replaces all of it. */
  upsert(row: Row, options?: RowWriteOptions): Promise<WriteResult> {
    return this.database.exec({ type: 'Upsert', ...this.names(), row, ...version(options) }, options);
  }

  delete(key: Row, options?: RowWriteOptions): Promise<WriteResult> {
    return this.database.exec({ type: 'Delete', ...this.names(), key, ...version(options) }, options);
  }

  /** The row with this primary key, or null. `select` may name `$version`. */
  async get(key: Row, options: ReadOptions & { readonly select?: readonly string[] } = {}): Promise<Row | null> {
    const { select } = options;
    const where: Record<string, { readonly eq: Value | undefined }> = {};
    for (const column of Object.keys(key)) where[column] = { eq: key[column] };
    const { tenantId, name: table } = this;
    const byKey = { tenantId, table, where: where as Where, limit: 1 };
    const { rows } = await this.database.query(select === undefined ? byKey : { ...byKey, select }, options);
    return rows[0] ?? null;
  }

  query(query: TableQuery = {}, options?: ReadOptions): Promise<QueryResult> {
    return this.database.query({ ...query, ...this.names() }, options);
  }

  private names(): { readonly tenantId: number; readonly table: string } {
    return { tenantId: this.tenantId, table: this.name };
  }
}

const version = (options: RowWriteOptions | undefined): { ifVersion?: number } =>
  options?.ifVersion === undefined ? {} : { ifVersion: options.ifVersion };
