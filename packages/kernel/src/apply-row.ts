import { assert } from '@kimberlite/base';
import { kindOf, showCell, toCell, typeTakes } from './cell.ts';
import type { Delete, Insert, Update, Upsert } from './command.ts';
import type { Draft } from './draft.ts';
import { makeRow } from './entry-digest.ts';
import type { KernelError } from './error.ts';
import { indexEntryKey, indexPartsKey, rowKey } from './index-entry.ts';
import { indexEntryOverheadBytes, keyBytesMax, rowBytesMax, rowOverheadBytes } from './limits.ts';
import * as reject from './reject.ts';
import type { IndexState, TableState } from './state.ts';
import type { Cell, Column, Row, StoredRow, Value } from './value.ts';

// Insert, Update, Upsert and Delete. Each finds its table, builds the new cells, and hands over to
// `writeRow` or `removeRow`, which check everything else and only then change anything.

/** Reads a column's own member of a row. A name such as `constructor` finds a function on the prototype. */
function member(row: Row, name: string): Value | undefined {
  const value: unknown = row[name];
  return typeof value === 'function' ? undefined : (value as Value | undefined);
}

/** Either what was asked for or why not; undefined stands for no error. */
type Failure = KernelError | undefined;

export function missingTable(draft: Draft, tenantId: number, table: string): KernelError {
  return draft.tenant(tenantId) === undefined ? reject.tenantNotFound(tenantId) : reject.tableNotFound(tenantId, table);
}

/** Puts the canonical cell of `value` into `cells`, or says why it cannot be. */
function setCell(table: TableState, cells: (Cell | undefined)[], place: number, value: Value): Failure {
  const column = table.columns[place] as Column;
  if (value === null) {
    if (!column.nullable) return reject.notNullViolation(table, column.name);
    cells[place] = null;
    return undefined;
  }
  const cell = toCell(column.type, value);
  if (cell === undefined) return reject.typeMismatch(table, column.name, typeTakes[column.type], kindOf(value));
  cells[place] = cell;
  return undefined;
}

function unknownColumn(table: TableState, row: Row): KernelError {
  const known = table.columns.map((column) => column.name);
  const stranger = Object.keys(row).find((name) => !table.places.has(name));
  assert(stranger !== undefined, 'a row with more members than columns found has a stranger');
  return reject.columnNotFound(table, stranger, known);
}

const memberCount = (row: Row): number => Object.keys(row).length;

/** Fills `cells` with the whole row. */
function fillRow(table: TableState, row: Row, cells: Cell[]): Failure {
  const { columns, defaults } = table;
  let found = 0;
  for (let i = 0; i < columns.length; i++) {
    const { name } = columns[i] as Column;
    const value = member(row, name);
    if (value !== undefined) {
      found++;
      const failure = setCell(table, cells, i, value);
      if (failure !== undefined) return failure;
      continue;
    }
    const fallback = defaults[i];
    if (fallback === undefined) return reject.notNullViolation(table, name);
    cells[i] = fallback;
  }
  assert(cells.length === columns.length, 'a row has a cell for every column');
  return memberCount(row) === found ? undefined : unknownColumn(table, row);
}

/** Fills the primary key's places of `cells`, from a record that names all of them and nothing else. */
function fillKey(table: TableState, key: Row, cells: Cell[]): Failure {
  const { keyPlaces } = table;
  assert(keyPlaces.length > 0, 'a table has a primary key');
  for (let i = 0; i < table.columns.length; i++) cells[i] = null;
  for (let i = 0; i < keyPlaces.length; i++) {
    const place = keyPlaces[i] as number;
    const { name } = table.columns[place] as Column;
    const value = member(key, name);
    if (value === undefined) {
      return reject.invalidCommand(`key.${name}`, 'is missing; give every column of the primary key');
    }
    const failure = setCell(table, cells, place, value);
    if (failure !== undefined) return failure;
  }
  if (memberCount(key) === keyPlaces.length) return undefined;
  const other = Object.keys(key).find((name) => !table.inKey[table.places.get(name) ?? -1]) ?? '';
  if (!table.places.has(other)) return unknownColumn(table, key);
  return reject.invalidCommand(`key.${other}`, 'is not in the primary key; leave it out and use ifVersion to guard');
}

/** Why there can be no row with this key. Asked before the key is named in any other rejection, which may be remembered. */
function keyProblem(table: TableState, key: string): Failure {
  return key.length > keyBytesMax ? reject.rowTooLarge(table, 'primary key', key.length, keyBytesMax) : undefined;
}

/** The primary key as people see it. */
function shownKey(table: TableState, cells: readonly Cell[]): Row {
  const shown: Record<string, Value> = {};
  for (const place of table.keyPlaces) {
    const { name, type } = table.columns[place] as Column;
    shown[name] = showCell(type, cells[place] as Cell);
  }
  return shown;
}

const noKeys: readonly string[] = [];

/** Finds a row other than `key` that has the same values in a unique index. */
function collision(index: IndexState, table: TableState, parts: string, key: string, cells: readonly Cell[]): Failure {
  if (index.places.some((place) => cells[place] === null)) return undefined;
  const at = index.entries.ascend(parts);
  if (at.key === undefined || !at.key.startsWith(parts) || at.value === key) return undefined;
  const shown: Record<string, Value> = {};
  for (const place of index.places) {
    const { name, type } = table.columns[place] as Column;
    shown[name] = showCell(type, cells[place] as Cell);
  }
  return reject.uniqueViolation(table, index.name, shown);
}

/** The entry of the new row in each index of the table, or why there can be none. */
function newEntries(draft: Draft, table: TableState, key: string, cells: readonly Cell[], into: string[]): Failure {
  for (const indexKey of table.indexes) {
    const index = draft.indexOf(indexKey);
    const parts = indexPartsKey(table, index.places, cells);
    if (parts.length > keyBytesMax) {
      return reject.rowTooLarge(table, `key in index "${index.name}"`, parts.length, keyBytesMax);
    }
    const failure = index.unique ? collision(index, table, parts, key, cells) : undefined;
    if (failure !== undefined) return failure;
    into.push(parts + key);
  }
  assert(into.length === table.indexes.length, 'a row has one entry in every index');
  return undefined;
}

function entryBytes(entries: readonly string[]): number {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) bytes += (entries[i] as string).length + indexEntryOverheadBytes;
  return bytes;
}

function oldEntries(draft: Draft, table: TableState, key: string, row: StoredRow): readonly string[] {
  return table.indexes.map((indexKey) => indexEntryKey(table, draft.indexOf(indexKey), key, row.cells));
}

/** Moves a row's entries; null: the row was not there, or goes away. */
function moveEntries(
  draft: Draft,
  table: TableState,
  from: readonly string[] | null,
  to: readonly string[] | null,
  key: string,
): void {
  for (let i = 0; i < table.indexes.length; i++) {
    const oldEntry = from?.[i];
    const newEntry = to?.[i];
    if (oldEntry === newEntry) continue;
    const index = draft.ownIndex(draft.indexOf(table.indexes[i] as string));
    if (oldEntry !== undefined) {
      assert(index.entries.get(oldEntry) === key, 'the entry of a stored row is in its index');
      index.entries = index.entries.delete(oldEntry, draft.edit);
      index.entryBytes -= oldEntry.length + indexEntryOverheadBytes;
    }
    if (newEntry !== undefined) {
      index.entries = index.entries.set(newEntry, key, draft.edit);
      index.entryBytes += newEntry.length + indexEntryOverheadBytes;
    }
  }
}

/** Checks and writes a row that was `old` (null: was not there). */
function writeRow(draft: Draft, table: TableState, key: string, old: StoredRow | null, cells: Cell[]): Failure {
  assert(key.length <= keyBytesMax, 'a key was measured before its row is written');
  const indexed = table.indexes.length > 0;
  const entries: string[] = [];
  const failure = indexed ? newEntries(draft, table, key, cells, entries) : undefined;
  if (failure !== undefined) return failure;

  const row = makeRow(table.seed, key, draft.position, cells);
  if (row.bytes - rowOverheadBytes > rowBytesMax) {
    return reject.rowTooLarge(table, 'row', row.bytes - rowOverheadBytes, rowBytesMax);
  }
  const rowGrowth = row.bytes - (old === null ? 0 : old.bytes);
  const from = old === null || !indexed ? noKeys : oldEntries(draft, table, key, old);
  const growth = rowGrowth + (indexed ? entryBytes(entries) - entryBytes(from) : 0);
  const full = draft.growthProblem(table.tenantId, growth);
  if (full !== undefined) return full;

  const own = draft.ownTable(table);
  own.rows = own.rows.set(key, row, draft.edit);
  own.rowBytes += rowGrowth;
  if (old !== null) {
    own.digest.subtract(old);
    draft.digest.subtract(old);
  }
  own.digest.add(row);
  draft.digest.add(row);
  if (indexed) moveEntries(draft, own, old === null ? null : from, entries, key);
  draft.count(own.tenantId, growth);
  logChange(draft, own, old, row);
  return undefined;
}

function removeRow(draft: Draft, table: TableState, key: string, old: StoredRow): void {
  const own = draft.ownTable(table);
  const entries = oldEntries(draft, own, key, old);
  own.rows = own.rows.delete(key, draft.edit);
  own.rowBytes -= old.bytes;
  own.digest.subtract(old);
  draft.digest.subtract(old);
  moveEntries(draft, own, entries, null, key);
  draft.count(own.tenantId, -old.bytes - entryBytes(entries));
  assert(own.rowBytes >= 0, 'a table never has negative bytes');
  assert(own.rows.size > 0 || own.rowBytes === 0, 'an empty table has no bytes');
  logChange(draft, own, old, null);
}

function logChange(draft: Draft, table: TableState, old: StoredRow | null, row: StoredRow | null): void {
  assert(old !== null || row !== null, 'a change has a before or an after');
  draft.emit({
    type: 'WriteToLog',
    position: draft.position,
    op: draft.op,
    timestamp: draft.timestamp,
    tenantId: table.tenantId,
    table: table.name,
    change: old === null ? 'insert' : row === null ? 'delete' : 'update',
    columns: table.columns,
    before: old,
    after: row,
  });
}

export function applyInsert(draft: Draft, command: Insert): Failure {
  assert(command.tenantId !== 0, 'a tenant id is from 1');
  const table = draft.table(command.tenantId, command.table);
  if (table === undefined) return missingTable(draft, command.tenantId, command.table);
  const cells = new Array<Cell>(table.columns.length);
  const failure = fillRow(table, command.row, cells);
  if (failure !== undefined) return failure;
  const key = rowKey(table, cells);
  const tooLarge = keyProblem(table, key);
  if (tooLarge !== undefined) return tooLarge;
  const old = table.rows.get(key);
  if (old !== undefined) return reject.duplicateKey(table, shownKey(table, cells), old.version);
  return writeRow(draft, table, key, null, cells);
}

export function applyUpsert(draft: Draft, command: Upsert): Failure {
  assert(command.tenantId !== 0, 'a tenant id is from 1');
  const table = draft.table(command.tenantId, command.table);
  if (table === undefined) return missingTable(draft, command.tenantId, command.table);
  const cells = new Array<Cell>(table.columns.length);
  const failure = fillRow(table, command.row, cells);
  if (failure !== undefined) return failure;
  const key = rowKey(table, cells);
  const tooLarge = keyProblem(table, key);
  if (tooLarge !== undefined) return tooLarge;
  const old = table.rows.get(key);
  const version = old?.version ?? 0;
  if (command.ifVersion !== undefined && command.ifVersion !== version) {
    return reject.preconditionFailed(table, shownKey(table, cells), command.ifVersion, version);
  }
  const refused = writeRow(draft, table, key, old ?? null, cells);
  if (refused === undefined) draft.result = { inserted: old === undefined };
  return refused;
}

/** Overwrites the cells that `set` names. */
function fillSet(table: TableState, set: Row, cells: Cell[]): Failure {
  for (const name of Object.keys(set)) {
    const place = table.places.get(name);
    if (place === undefined) return unknownColumn(table, set);
    if (table.inKey[place]) {
      return reject.invalidCommand(`set.${name}`, 'is in the primary key, which never changes; use Delete and Insert');
    }
    const failure = setCell(table, cells, place, set[name] as Value);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

export function applyUpdate(draft: Draft, command: Update): Failure {
  assert(command.tenantId !== 0, 'a tenant id is from 1');
  const table = draft.table(command.tenantId, command.table);
  if (table === undefined) return missingTable(draft, command.tenantId, command.table);
  const keyCells = new Array<Cell>(table.columns.length);
  const failure = fillKey(table, command.key, keyCells);
  if (failure !== undefined) return failure;
  const key = rowKey(table, keyCells);
  const tooLarge = keyProblem(table, key);
  if (tooLarge !== undefined) return tooLarge;
  const old = table.rows.get(key);
  if (old === undefined) return reject.rowNotFound(table, shownKey(table, keyCells));
  if (command.ifVersion !== undefined && command.ifVersion !== old.version) {
    return reject.preconditionFailed(table, shownKey(table, keyCells), command.ifVersion, old.version);
  }
  const cells = old.cells.slice();
  return fillSet(table, command.set, cells) ?? writeRow(draft, table, key, old, cells);
}

export function applyDelete(draft: Draft, command: Delete): Failure {
  assert(command.tenantId !== 0, 'a tenant id is from 1');
  const table = draft.table(command.tenantId, command.table);
  if (table === undefined) return missingTable(draft, command.tenantId, command.table);
  const keyCells = new Array<Cell>(table.columns.length);
  const failure = fillKey(table, command.key, keyCells);
  if (failure !== undefined) return failure;
  const key = rowKey(table, keyCells);
  const tooLarge = keyProblem(table, key);
  if (tooLarge !== undefined) return tooLarge;
  const old = table.rows.get(key);
  if (old === undefined) return reject.rowNotFound(table, shownKey(table, keyCells));
  if (command.ifVersion !== undefined && command.ifVersion !== old.version) {
    return reject.preconditionFailed(table, shownKey(table, keyCells), command.ifVersion, old.version);
  }
  removeRow(draft, table, key, old);
  return undefined;
}
