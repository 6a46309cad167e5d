import { assert } from '@kimberlite/base';
import { missingTable } from './apply-row.ts';
import { showCell, toCell } from './cell.ts';
import type { CreateIndex, CreateTable, CreateTenant, DeleteTenant, DropIndex, DropTable } from './command.ts';
import { Digest } from './digest.ts';
import type { Draft } from './draft.ts';
import { digestEntity, indexPlain, part, rowSeed, tablePlain, tenantPlain } from './entry-digest.ts';
import type { KernelError } from './error.ts';
import { indexPartsKey } from './index-entry.ts';
import { namedKey, tenantKey } from './key.ts';
import { indexEntryOverheadBytes, indexesPerTableMax, keyBytesMax, tablesPerTenantMax, tenantsMax } from './limits.ts';
import { OrderedMap } from './ordered-map.ts';
import * as reject from './reject.ts';
import type { IndexState, TableState, TenantState } from './state.ts';
import type { Cell, Column, Value } from './value.ts';

type Failure = KernelError | undefined;

const entity = new Digest();

export function applyCreateTenant(draft: Draft, command: CreateTenant): Failure {
  const { tenantId, name } = command;
  assert(tenantId !== 0, 'a tenant id is from 1');
  const found = draft.tenant(tenantId);
  if (found !== undefined) return reject.tenantAlreadyExists(tenantId, found.name);
  if (draft.tenants.size >= tenantsMax) {
    return reject.stateTransitionFailed(`the cluster has ${tenantsMax} tenants, the most it can; delete one first`);
  }
  const tenant: TenantState = {
    edit: draft.edit,
    tenantId,
    name,
    quotaBytes: command.quotaBytes ?? null,
    created: draft.position,
    tables: 0,
    usedBytes: 0,
  };
  const key = tenantKey(tenantId);
  const bytes = digestEntity(entity, part.tenant, key, tenantPlain(tenant));
  const full = draft.growthProblem(0, bytes);
  if (full !== undefined) return full;
  draft.tenants = draft.tenants.set(key, tenant, draft.edit);
  draft.digest.add(entity);
  draft.count(0, bytes);
  return undefined;
}

/** Everything of the tenant goes: its tables, its indexes and its remembered outcomes. */
export function applyDeleteTenant(draft: Draft, command: DeleteTenant): Failure {
  const { tenantId } = command;
  assert(tenantId !== 0, 'a tenant id is from 1');
  const tenant = draft.tenant(tenantId);
  if (tenant === undefined) return reject.tenantNotFound(tenantId);
  const key = tenantKey(tenantId);
  const doomed: TableState[] = [];
  for (const at = draft.tables.ascend(key); at.key?.startsWith(key) === true; at.next()) doomed.push(at.value);
  assert(doomed.length <= tablesPerTenantMax, 'a tenant has a bounded number of tables');
  for (const table of doomed) removeTable(draft, table);
  const window = draft.idempotency.get(key);
  if (window !== undefined) {
    draft.digest.subtract(window.digest);
    draft.count(0, -window.usedBytes);
    draft.idempotency = draft.idempotency.delete(key, draft.edit);
  }
  assert(draft.tenant(tenantId)?.usedBytes === 0, 'a tenant without tables uses nothing');
  const bytes = digestEntity(entity, part.tenant, key, tenantPlain(tenant));
  draft.tenants = draft.tenants.delete(key, draft.edit);
  draft.digest.subtract(entity);
  draft.count(0, -bytes);
  draft.forget();
  draft.emit({ type: 'DeleteFile', name: `tenant/${tenantId}/${tenant.created}` });
  return undefined;
}

/** What a row gets that leaves the column out; undefined: it may not. */
function defaultCell(column: Column): Cell | undefined {
  const { default: given } = column;
  if (given === undefined) return column.nullable ? null : undefined;
  if (given === null) return null;
  const cell = toCell(column.type, given);
  assert(cell !== undefined, 'a default was checked against its type');
  return cell;
}

export interface TableParts {
  readonly tenantId: number;
  readonly name: string;
  readonly columns: readonly Column[];
  readonly keyPlaces: readonly number[];
  readonly created: number;
}

/** A table without rows, from what its schema says. */
export function makeTable(parts: TableParts): TableState {
  const { tenantId, name, columns, keyPlaces, created } = parts;
  assert(columns.length > 0 && keyPlaces.length > 0, 'a table has columns and a primary key');
  return {
    edit: null,
    key: namedKey(tenantId, name),
    tenantId,
    name,
    columns,
    places: new Map(columns.map((column, i) => [column.name, i])),
    defaults: columns.map(defaultCell),
    keyPlaces,
    inKey: columns.map((_, i) => keyPlaces.includes(i)),
    created,
    indexes: [],
    rows: OrderedMap.empty(),
    rowBytes: 0,
    seed: rowSeed(tenantId, name),
    digest: new Digest(),
  };
}

export function applyCreateTable(draft: Draft, command: CreateTable): Failure {
  const { tenantId, table: name, columns, primaryKey } = command;
  const tenant = draft.tenant(tenantId);
  if (tenant === undefined) return reject.tenantNotFound(tenantId);
  if (draft.table(tenantId, name) !== undefined) return reject.tableAlreadyExists(tenantId, name);
  if (tenant.tables >= tablesPerTenantMax) {
    return reject.stateTransitionFailed(
      `tenant ${tenantId} has ${tablesPerTenantMax} tables, the most it can; drop one first`,
    );
  }
  const keyPlaces = primaryKey.map((wanted) => columns.findIndex((column) => column.name === wanted));
  assert(!keyPlaces.includes(-1), 'validation saw every primary key column');
  const table = makeTable({ tenantId, name, columns, keyPlaces, created: draft.position });
  table.edit = draft.edit;
  const bytes = digestEntity(entity, part.table, table.key, tablePlain(table));
  const full = draft.growthProblem(tenantId, bytes);
  if (full !== undefined) return full;
  draft.tables = draft.tables.set(table.key, table, draft.edit);
  draft.digest.add(entity);
  draft.count(tenantId, bytes);
  draft.ownTenant(tenantId).tables += 1;
  return undefined;
}

export function applyDropTable(draft: Draft, command: DropTable): Failure {
  assert(command.tenantId !== 0, 'a tenant id is from 1');
  const table = draft.table(command.tenantId, command.table);
  if (table === undefined) return missingTable(draft, command.tenantId, command.table);
  removeTable(draft, table);
  assert(draft.table(command.tenantId, command.table) === undefined, 'a dropped table is gone');
  return undefined;
}

/** The sum of the hashes of its rows makes this cost nothing for each row. */
function removeTable(draft: Draft, table: TableState): void {
  for (const indexKey of table.indexes) removeIndex(draft, draft.indexOf(indexKey));
  const bytes = digestEntity(entity, part.table, table.key, tablePlain(table));
  draft.tables = draft.tables.delete(table.key, draft.edit);
  draft.digest.subtract(entity);
  draft.digest.subtract(table.digest);
  draft.forget();
  draft.count(table.tenantId, -bytes - table.rowBytes);
  const tenant = draft.ownTenant(table.tenantId);
  tenant.tables -= 1;
  assert(tenant.tables >= 0 && tenant.usedBytes >= 0, 'a tenant never has fewer than no tables');
  draft.emit({ type: 'DeleteFile', name: `table/${table.tenantId}/${table.name}/${table.created}` });
}

function removeIndex(draft: Draft, index: IndexState): void {
  const bytes = digestEntity(entity, part.index, index.key, indexPlain(index));
  draft.indexes = draft.indexes.delete(index.key, draft.edit);
  draft.digest.subtract(entity);
  draft.count(index.tenantId, -bytes - index.entryBytes);
  assert(draft.indexes.get(index.key) === undefined, 'a removed index is gone');
}

/** The places of the indexed columns, or why there can be no such index. */
function indexPlaces(table: TableState, columns: readonly string[]): readonly number[] | KernelError {
  const places: number[] = [];
  for (const name of columns) {
    const place = table.places.get(name);
    if (place === undefined) {
      return reject.columnNotFound(
        table,
        name,
        table.columns.map((column) => column.name),
      );
    }
    if (table.columns[place]?.type === 'json') {
      return reject.typeMismatch(table, name, 'no index: json has no order', 'CreateIndex');
    }
    places.push(place);
  }
  assert(places.length > 0, 'an index has columns');
  return places;
}

function isPlaces(value: readonly number[] | KernelError): value is readonly number[] {
  return Array.isArray(value);
}

/** Puts a row into an index. Gives the rejection when it cannot be in it, and then changes nothing. */
export function addToIndex(
  table: TableState,
  index: IndexState,
  key: string,
  cells: readonly Cell[],
  edit: TableState['edit'],
): Failure {
  const parts = indexPartsKey(table, index.places, cells);
  if (parts.length > keyBytesMax) {
    return reject.rowTooLarge(table, `key in index "${index.name}"`, parts.length, keyBytesMax);
  }
  if (index.unique && index.places.every((place) => cells[place] !== null)) {
    const there = index.entries.ascend(parts);
    if (there.key?.startsWith(parts) === true) return uniqueProblem(table, index, cells);
  }
  index.entries = index.entries.set(parts + key, key, edit);
  index.entryBytes += parts.length + key.length + indexEntryOverheadBytes;
  return undefined;
}

/** Fills an index from the table's rows. Gives the rejection of the first row that cannot be in it. */
function fillIndex(table: TableState, index: IndexState, edit: TableState['edit']): Failure {
  assert(index.entries.size === 0, 'an index is filled once');
  for (const at = table.rows.ascend(); at.key !== undefined; at.next()) {
    const failure = addToIndex(table, index, at.key, at.value.cells, edit);
    if (failure !== undefined) return failure;
  }
  assert(index.entries.size === table.rows.size, 'every row is in the index once');
  return undefined;
}

function uniqueProblem(table: TableState, index: IndexState, cells: readonly Cell[]): KernelError {
  const shown: Record<string, Value> = {};
  for (const place of index.places) {
    const { name, type } = table.columns[place] as Column;
    shown[name] = showCell(type, cells[place] as Cell);
  }
  return reject.uniqueViolation(table, index.name, shown);
}

export function applyCreateIndex(draft: Draft, command: CreateIndex): Failure {
  const { tenantId, index: name, unique } = command;
  const table = draft.table(tenantId, command.table);
  if (table === undefined) return missingTable(draft, tenantId, command.table);
  const key = namedKey(tenantId, name);
  if (draft.indexes.has(key)) return reject.indexAlreadyExists(tenantId, name);
  if (table.indexes.length >= indexesPerTableMax) {
    return reject.stateTransitionFailed(
      `table "${table.name}" has ${indexesPerTableMax} indexes, the most it can; drop one first`,
    );
  }
  const places = indexPlaces(table, command.columns);
  if (!isPlaces(places)) return places;
  const index: IndexState = {
    edit: draft.edit,
    key,
    tenantId,
    name,
    table: table.name,
    places,
    unique,
    created: draft.position,
    entries: OrderedMap.empty(),
    entryBytes: 0,
  };
  const failure = fillIndex(table, index, draft.edit);
  if (failure !== undefined) return failure;
  const bytes = digestEntity(entity, part.index, key, indexPlain(index));
  const full = draft.growthProblem(tenantId, bytes + index.entryBytes);
  if (full !== undefined) return full;
  draft.indexes = draft.indexes.set(key, index, draft.edit);
  draft.digest.add(entity);
  draft.count(tenantId, bytes + index.entryBytes);
  draft.ownTable(table).indexes = [...table.indexes, key].sort();
  draft.result = { indexedRows: index.entries.size };
  return undefined;
}

export function applyDropIndex(draft: Draft, command: DropIndex): Failure {
  const { tenantId, index: name } = command;
  if (draft.tenant(tenantId) === undefined) return reject.tenantNotFound(tenantId);
  const index = draft.indexes.get(namedKey(tenantId, name));
  if (index === undefined) return reject.indexNotFound(tenantId, name);
  const table = draft.table(tenantId, index.table);
  assert(table !== undefined, 'an index has a table');
  removeIndex(draft, index);
  draft.ownTable(table).indexes = table.indexes.filter((key) => key !== index.key);
  return undefined;
}
