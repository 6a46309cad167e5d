import { assert } from '@kimberlite/base';
import { Digest } from './digest.ts';
import { tenantKey } from './key.ts';
import { budgetBytesDefault } from './limits.ts';
import { type Edit, OrderedMap } from './ordered-map.ts';
import type { Outcome } from './outcome.ts';
import type { Cell, Column, StoredRow } from './value.ts';

// State is a record of persistent maps. A value handed out is never changed again. Records with an `edit`
// may be changed in place by the batch whose token they carry, and by nobody else. Projections, timers and
// unfinished work join when there is something to put in them; an empty map would only be noise.

/** A tenant. Key: `tenantKey`. */
export interface TenantState {
  edit: Edit | null;
  readonly tenantId: number;
  readonly name: string;
  readonly quotaBytes: number | null;
  /** Position of the command that made it. */
  readonly created: number;
  /** Derived: number of its tables. */
  tables: number;
  /** Derived: bytes of its tables, indexes and rows. */
  usedBytes: number;
}

/** A table with its rows. Key: `namedKey(tenantId, name)`. */
export interface TableState {
  edit: Edit | null;
  readonly key: string;
  readonly tenantId: number;
  readonly name: string;
  readonly columns: readonly Column[];
  /** Name to place in `columns`. */
  readonly places: ReadonlyMap<string, number>;
  /** Cells a row gets that leaves a column out: the default, null, or undefined where one must be given. */
  readonly defaults: readonly (Cell | undefined)[];
  /** Places of the primary key's columns, in key order. */
  readonly keyPlaces: readonly number[];
  /** True for each place that is in the primary key. */
  readonly inKey: readonly boolean[];
  readonly created: number;
  /** Keys of its indexes in state, ascending. */
  indexes: readonly string[];
  rows: OrderedMap<StoredRow>;
  /** Derived: bytes of its rows, index entries not included. */
  rowBytes: number;
  /** Seeds the hash of each row: the digest of (part, table key). */
  readonly seed: Digest;
  /** Sum of the hashes of its rows, so that dropping the table costs no walk. */
  readonly digest: Digest;
}

/** A secondary index. Key: `namedKey(tenantId, name)`. */
export interface IndexState {
  edit: Edit | null;
  readonly key: string;
  readonly tenantId: number;
  readonly name: string;
  readonly table: string;
  readonly places: readonly number[];
  readonly unique: boolean;
  readonly created: number;
  /** Key parts of the indexed columns followed by the primary key, to the primary key. Derived from the rows. */
  entries: OrderedMap<string>;
  /** Derived: bytes of its entries. */
  entryBytes: number;
}

/** One remembered outcome. */
export interface RememberedOutcome {
  readonly idempotencyId: string;
  /** Position of the command, by which the window is ordered: order of first use. */
  readonly position: number;
  /** Timestamp of its op, in microseconds, by which it ages. */
  readonly timestamp: number;
  /** Hash of the command's canonical form, 32 hex digits. */
  readonly commandHash: string;
  readonly outcome: Outcome;
  readonly bytes: number;
}

/** The idempotency window of one tenant, or (tenant 0) of commands that belong to none. Key: `tenantKey`. */
export interface IdempotencyWindow {
  edit: Edit | null;
  readonly tenantId: number;
  byId: OrderedMap<RememberedOutcome>;
  /** Key: `intKey(position)`. */
  byPosition: OrderedMap<RememberedOutcome>;
  usedBytes: number;
  readonly digest: Digest;
}

/** Counted, but in neither encoding nor hash. */
export interface Metrics {
  readonly applied: number;
  readonly rejected: number;
  readonly replayed: number;
}

/** Everything the log adds up to. */
export interface KernelState {
  /** Position of the last command; 0 before the first. */
  readonly position: number;
  /** Op of the last command. */
  readonly op: number;
  /** Timestamp of the last command, in microseconds since 1970. */
  readonly timestamp: number;
  readonly budgetBytes: number;
  /** Derived: bytes counted against the budget. */
  readonly usedBytes: number;
  readonly tenants: OrderedMap<TenantState>;
  readonly tables: OrderedMap<TableState>;
  readonly indexes: OrderedMap<IndexState>;
  readonly idempotency: OrderedMap<IdempotencyWindow>;
  /** Sum of the hashes of everything but the header (position, op, timestamp, budget). */
  readonly digest: Digest;
  readonly metrics: Metrics;
}

/** The state before the first command. */
export function initialState(): KernelState {
  return {
    position: 0,
    op: 0,
    timestamp: 0,
    budgetBytes: budgetBytesDefault,
    usedBytes: 0,
    tenants: OrderedMap.empty(),
    tables: OrderedMap.empty(),
    indexes: OrderedMap.empty(),
    idempotency: OrderedMap.empty(),
    digest: new Digest(),
    metrics: { applied: 0, rejected: 0, replayed: 0 },
  };
}

export function emptyWindow(tenantId: number, edit: Edit | null): IdempotencyWindow {
  assert(tenantId >= 0, 'a window belongs to a tenant or, as 0, to none');
  return {
    edit,
    tenantId,
    byId: OrderedMap.empty(),
    byPosition: OrderedMap.empty(),
    usedBytes: 0,
    digest: new Digest(),
  };
}

export const findTenant = (state: { readonly tenants: OrderedMap<TenantState> }, tenantId: number) =>
  state.tenants.get(tenantKey(tenantId));
