import { assert } from '@kimberlite/base';
import { Digest } from './digest.ts';
import {
  digestEntity,
  digestRow,
  indexPlain,
  type Part,
  part,
  rowSeed,
  tablePlain,
  tenantPlain,
} from './entry-digest.ts';
import { digestOutcome } from './idempotency.ts';
import { indexEntryKey } from './index-entry.ts';
import { intKey } from './key.ts';
import { auditSliceBytes, auditSliceEntries, entityOverheadBytes } from './limits.ts';
import type { Plain } from './packed.ts';
import type { IdempotencyWindow, IndexState, KernelState, TableState } from './state.ts';
import type { Lanes, StoredRow } from './value.ts';

// Damage to memory: what was hashed when it was put there is hashed again, slice by slice, and compared. Rows have their
// own hashes; everything else is compared with the sums that are kept. Rows and index entries are looked at where they
// are now, so that a slow look holds no old state in memory; what is small, and has only a sum, in one state.

export type AuditStep =
  | { readonly type: 'more' }
  | { readonly type: 'whole' }
  | { readonly type: 'damaged'; readonly where: string };

/** Ends with what is damaged, or null. Yields where a slice is full. */
type Look = Generator<undefined, string | null>;

/** Goes round and round through a state that moves on meanwhile. */
export class Auditor {
  private state: KernelState | undefined;
  private round: Look | null = null;

  /** The next slice. After damage was found it begins again. */
  next(state: KernelState): AuditStep {
    this.state = state;
    this.round ??= lookAtAll(() => this.current());
    const step = this.round.next();
    if (step.done !== true) return { type: 'more' };
    this.round = null;
    return step.value === null ? { type: 'whole' } : { type: 'damaged', where: step.value };
  }

  private current(): KernelState {
    assert(this.state !== undefined, 'a slice is of a state');
    return this.state;
  }
}

/** What may still go into this slice. */
class Slice {
  private entries = 0;
  private bytes = 0;

  /** True: it is full. */
  count(bytes: number): boolean {
    this.entries += 1;
    this.bytes += bytes;
    if (this.entries < auditSliceEntries && this.bytes < auditSliceBytes) return false;
    this.entries = 0;
    this.bytes = 0;
    return true;
  }
}

function* lookAtAll(current: () => KernelState): Look {
  const slice = new Slice();
  return (
    (yield* lookAtEntities(current(), slice)) ??
    (yield* lookAtTables(current, slice)) ??
    (yield* lookAtWindows(current, slice))
  );
}

const one = new Digest();
const isEqual = (a: Lanes, b: Lanes): boolean => a.a === b.a && a.b === b.b && a.c === b.c && a.d === b.d;

/** Tenants, tables and indexes without what is in them, and the sums and counts of everything. */
function* lookAtEntities(state: KernelState, slice: Slice): Look {
  const sum = new Digest();
  const used = new Map<number, number>();
  let usedBytes = 0;
  const add = (which: Part, key: string, value: Plain, tenantId: number, inside: number): boolean => {
    const bytes = digestEntity(one, which, key, value);
    sum.add(one);
    usedBytes += bytes + inside;
    used.set(tenantId, (used.get(tenantId) ?? 0) + bytes + inside);
    return slice.count(bytes);
  };
  for (const at = state.tenants.ascend(); at.key !== undefined; at.next()) {
    if (add(part.tenant, at.key, tenantPlain(at.value), 0, 0)) yield;
  }
  for (const at = state.tables.ascend(); at.key !== undefined; at.next()) {
    const table = at.value;
    const problem = tableProblem(state, at.key, table);
    if (problem !== null) return problem;
    sum.add(table.digest);
    if (add(part.table, at.key, tablePlain(table), table.tenantId, table.rowBytes)) yield;
  }
  for (const at = state.indexes.ascend(); at.key !== undefined; at.next()) {
    const index = at.value;
    if (add(part.index, at.key, indexPlain(index), index.tenantId, index.entryBytes)) yield;
  }
  for (const at = state.idempotency.ascend(); at.key !== undefined; at.next()) {
    sum.add(at.value.digest);
    usedBytes += at.value.usedBytes;
    if (slice.count(entityOverheadBytes)) yield;
  }
  if (!isEqual(sum, state.digest)) return 'a tenant, a schema, an index definition or the hash of the whole state';
  if (usedBytes !== state.usedBytes) return 'the count of bytes in use';
  for (const at = state.tenants.ascend(); at.key !== undefined; at.next()) {
    const { tenantId, usedBytes: counted } = at.value;
    if (counted !== (used.get(tenantId) ?? 0)) return `the count of bytes in use of tenant ${tenantId}`;
  }
  return null;
}

/** What a table is looked up by, which is derived from its schema. */
function tableProblem(state: KernelState, key: string, table: TableState): string | null {
  const { columns, places, keyPlaces, inKey, seed } = table;
  const isSound =
    key === table.key &&
    isEqual(seed, rowSeed(table.tenantId, table.name)) &&
    places.size === columns.length &&
    columns.every(({ name }, place) => places.get(name) === place && inKey[place] === keyPlaces.includes(place)) &&
    table.indexes.every((index) => state.indexes.get(index)?.table === table.name);
  return isSound ? null : `the schema of table ${table.name} of tenant ${table.tenantId}`;
}

/** Rows and their index entries, table by table, where they are now. */
function* lookAtTables(current: () => KernelState, slice: Slice): Look {
  let after = '';
  for (;;) {
    const at = current().tables.ascend(after);
    if (at.key === undefined) return null;
    const { key } = at;
    const problem = yield* lookAtRows(() => current().tables.get(key), current, slice);
    if (problem !== null) return problem;
    if (slice.count(entityOverheadBytes)) yield;
    // The next key: keys are strings, and none lies between this one and it with a character behind.
    after = `${key}\u0000`;
  }
}

function* lookAtRows(find: () => TableState | undefined, current: () => KernelState, slice: Slice): Look {
  let after = '';
  for (;;) {
    const table = find();
    if (table === undefined) return null;
    const indexes = table.indexes.map((key) => current().indexes.get(key));
    for (const index of indexes) {
      if (index?.entries.size !== table.rows.size) return `index ${index?.name ?? '?'} of table ${table.name}`;
    }
    const at = table.rows.ascend(after);
    let full = false;
    for (; at.key !== undefined && !full; at.next()) {
      const problem = rowProblem(table, indexes, at.key, at.value);
      if (problem !== null) return `${problem} of table ${table.name} of tenant ${table.tenantId}`;
      full = slice.count(at.value.bytes * (1 + indexes.length));
      after = `${at.key}\u0000`;
    }
    if (!full) return null;
    yield;
  }
}

function rowProblem(
  table: TableState,
  indexes: readonly (IndexState | undefined)[],
  key: string,
  row: StoredRow,
): string | null {
  const { version, cells, bytes } = row;
  if (cells.length !== table.columns.length) return `a row of version ${version}`;
  const counted = digestRow(one, table.seed, key, version, cells);
  if (counted !== bytes || !isEqual(one, row)) return `a row of version ${version}`;
  if (table.rows.get(key) !== row) return `the place of a row of version ${version}`;
  for (const index of indexes) {
    if (index !== undefined && index.entries.get(indexEntryKey(table, index, key, cells)) !== key) {
      return `an entry of index ${index.name}`;
    }
  }
  return null;
}

/** Each window in one state: it is bounded, and has only a sum. */
function* lookAtWindows(current: () => KernelState, slice: Slice): Look {
  let after = '';
  for (;;) {
    const at = current().idempotency.ascend(after);
    if (at.key === undefined) return null;
    const problem = yield* lookAtWindow(at.value, slice);
    if (problem !== null) return problem;
    after = `${at.key}\u0000`;
  }
}

function* lookAtWindow(window: IdempotencyWindow, slice: Slice): Look {
  const { tenantId, byId, byPosition, digest } = window;
  const where = `a remembered outcome of tenant ${tenantId}`;
  const sum = new Digest();
  let usedBytes = 0;
  if (byId.size !== byPosition.size) return where;
  for (const at = byPosition.ascend(); at.key !== undefined; at.next()) {
    const remembered = at.value;
    const isFound = at.key === intKey(remembered.position) && byId.get(remembered.idempotencyId) === remembered;
    if (!isFound) return where;
    const bytes = digestOutcome(one, tenantId, remembered);
    if (bytes !== remembered.bytes) return where;
    sum.add(one);
    usedBytes += bytes;
    if (slice.count(bytes)) yield;
  }
  return isEqual(sum, digest) && usedBytes === window.usedBytes ? null : where;
}
