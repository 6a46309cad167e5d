import { assert, isHex128, isNatural, isWellFormed } from '@kimberlite/base';
import { addToIndex, makeTable } from './apply-schema.ts';
import { canonicalJson, isJsonValue, isRecord, parseCanonicalJson } from './canonical-json.ts';
import { toCell } from './cell.ts';
import { Digest } from './digest.ts';
import { digestEntity, indexPlain, makeRow, type Part, part, tablePlain, tenantPlain } from './entry-digest.ts';
import { digestOutcome } from './idempotency.ts';
import { rowKey } from './index-entry.ts';
import { intKey, namedKey, tenantKey } from './key.ts';
import { type Edit, newEdit, OrderedMap } from './ordered-map.ts';
import type { Outcome } from './outcome.ts';
import { PackedReader, type Plain } from './packed.ts';
import {
  emptyWindow,
  type IdempotencyWindow,
  type IndexState,
  initialState,
  type KernelState,
  type TableState,
  type TenantState,
} from './state.ts';
import { checkColumns, checkPrimaryKey } from './validate-schema.ts';
import { checkTitle, isName } from './validate-value.ts';
import type { Cell, Column } from './value.ts';

// The inverse of `encode`, record by record. The bytes come from a disk or another replica: everything is checked,
// nothing throws, and what is accepted encodes to the same bytes again. A record costs what it is itself: whatever the
// encoding leaves out (index entries, counts, sums) is brought up to date with every one, so nothing is left to do at
// the end.

type Members = Readonly<Record<string, Plain | undefined>>;

/** The table the rows read last belong to, with what a row of it touches. */
interface CurrentTable {
  readonly table: TableState;
  readonly tenant: TenantState;
  readonly indexes: readonly IndexState[];
}

/** A state under construction. */
export interface Building {
  readonly edit: Edit;
  position: number;
  op: number;
  timestamp: number;
  budgetBytes: number;
  usedBytes: number;
  tenants: OrderedMap<TenantState>;
  tables: OrderedMap<TableState>;
  indexes: OrderedMap<IndexState>;
  idempotency: OrderedMap<IdempotencyWindow>;
  readonly digest: Digest;
  /** Rows come table by table. */
  current: CurrentTable | undefined;
  /** Part and key of the record read last: records ascend strictly. None before the first. */
  lastPart: number;
  lastKey: string;
}

export const newBuilding = (): Building => ({
  ...initialState(),
  edit: newEdit(),
  digest: new Digest(),
  current: undefined,
  lastPart: -1,
  lastKey: '',
});

/** The state built. Its edit token must not be used afterwards. */
export function builtState(built: Building): KernelState {
  assert(built.lastPart >= 0, 'a state has a header');
  const { position, op, timestamp, budgetBytes, usedBytes, tenants, tables, indexes, idempotency, digest } = built;
  const { metrics } = initialState();
  return {
    position,
    op,
    timestamp,
    budgetBytes,
    usedBytes,
    tenants,
    tables,
    indexes,
    idempotency,
    digest,
    metrics,
  };
}

const one = new Digest();

const isWhole = (value: Plain | undefined): value is number => isNatural(value);
const isList = (value: Plain | undefined): value is readonly Plain[] => Array.isArray(value);

function members(value: Plain, names: readonly string[]): Members | undefined {
  if (!isRecord(value)) return undefined;
  const keys = Object.keys(value);
  return keys.length === names.length && names.every((name) => Object.hasOwn(value, name))
    ? (value as Members)
    : undefined;
}

/** Counts and hashes an entity. */
function admit(into: Building, which: Part, key: string, value: Plain, tenantId: number): void {
  const bytes = digestEntity(one, which, key, value);
  into.digest.add(one);
  into.usedBytes += bytes;
  const tenant = tenantId === 0 ? undefined : into.tenants.get(tenantKey(tenantId));
  assert(tenantId === 0 || tenant !== undefined, 'the tenant was read before what it has');
  if (tenant !== undefined) tenant.usedBytes += bytes;
}

function readHeader(into: Building, key: string, value: Plain): boolean {
  const header = members(value, ['position', 'op', 'timestamp', 'budgetBytes']);
  if (header === undefined || key !== '') return false;
  const { position, op, timestamp, budgetBytes } = header;
  if (!isWhole(position) || !isWhole(op) || !isWhole(timestamp)) return false;
  if (!isWhole(budgetBytes)) return false;
  Object.assign(into, { position, op, timestamp, budgetBytes });
  return true;
}

/** The tenant id an 8-byte key stands for. */
function tenantOfKey(key: string): number {
  let value = key.charCodeAt(0) - 128;
  for (let i = 1; i < 8; i++) value = value * 256 + key.charCodeAt(i);
  return value;
}

function readTenant(into: Building, key: string, value: Plain): boolean {
  const tenant = members(value, ['name', 'quotaBytes', 'created']);
  if (tenant === undefined || key.length !== 8) return false;
  const { name, quotaBytes, created } = tenant;
  const tenantId = tenantOfKey(key);
  if (!isWhole(tenantId) || tenantId === 0 || !checkTitle(name, '').ok || typeof name !== 'string') return false;
  if (!isWhole(created) || !(quotaBytes === null || isWhole(quotaBytes))) return false;
  const read: TenantState = { edit: into.edit, tenantId, name, quotaBytes, created, tables: 0, usedBytes: 0 };
  into.tenants = into.tenants.set(key, read, into.edit);
  admit(into, part.tenant, key, tenantPlain(read), 0);
  return true;
}

function readPlaces(value: Plain | undefined, count: number): readonly number[] | undefined {
  if (!isList(value) || value.length === 0) return undefined;
  const places: number[] = [];
  for (const place of value) {
    if (!isWhole(place) || place >= count || places.includes(place)) return undefined;
    places.push(place);
  }
  return places;
}

function readTable(into: Building, key: string, value: Plain): boolean {
  const table = members(value, ['tenantId', 'name', 'columns', 'key', 'created']);
  if (table === undefined) return false;
  const { tenantId, name, created } = table;
  if (!isWhole(tenantId) || !isName(name) || !isWhole(created)) return false;
  const tenant = into.tenants.get(tenantKey(tenantId));
  const columns = isList(table['columns']) ? checkColumns(table['columns']) : undefined;
  if (tenant === undefined || columns?.ok !== true || key !== namedKey(tenantId, name)) return false;
  const keyPlaces = readPlaces(table['key'], columns.value.length);
  if (keyPlaces === undefined) return false;
  const keyNames = keyPlaces.map((place) => (columns.value[place] as Column).name);
  if (!checkPrimaryKey(columns.value, keyNames).ok) return false;
  const read = makeTable({ tenantId, name, columns: columns.value, keyPlaces, created });
  read.edit = into.edit;
  into.tables = into.tables.set(key, read, into.edit);
  tenant.tables += 1;
  admit(into, part.table, key, tablePlain(read), tenantId);
  return true;
}

function readIndex(into: Building, key: string, value: Plain): boolean {
  const index = members(value, ['tenantId', 'name', 'table', 'places', 'unique', 'created']);
  if (index === undefined) return false;
  const { tenantId, name, table: tableName, unique, created } = index;
  if (!isWhole(tenantId) || !isName(name) || !isName(tableName)) return false;
  if (typeof unique !== 'boolean' || !isWhole(created) || key !== namedKey(tenantId, name)) return false;
  const table = into.tables.get(namedKey(tenantId, tableName));
  const places = table === undefined ? undefined : readPlaces(index['places'], table.columns.length);
  if (table === undefined || places?.every((place) => table.columns[place]?.type !== 'json') !== true) return false;
  const read: IndexState = {
    edit: into.edit,
    key,
    tenantId,
    name,
    table: tableName,
    places,
    unique,
    created,
    entries: OrderedMap.empty(),
    entryBytes: 0,
  };
  into.indexes = into.indexes.set(key, read, into.edit);
  table.indexes = [...table.indexes, key];
  admit(into, part.index, key, indexPlain(read), tenantId);
  return true;
}

/** Whether a stored cell is what its column's type would have made of it. */
function isCanonicalCell(column: Column, cell: Cell): boolean {
  if (cell === null) return column.nullable;
  switch (column.type) {
    case 'int':
    case 'timestamp':
      return typeof cell === 'bigint' || Number.isSafeInteger(cell);
    case 'json': {
      if (typeof cell !== 'string') return false;
      try {
        const value = parseCanonicalJson(cell);
        return isJsonValue(value) && canonicalJson(value) === cell;
      } catch {
        return false;
      }
    }
    case 'text':
      return typeof cell === 'string' && isWellFormed(cell);
    case 'bytes':
      return cell instanceof Uint8Array;
    default:
      return typeof cell !== 'string' && toCell(column.type, cell) === cell;
  }
}

/** The table whose key the record's key begins with; rows come in the order of their tables. */
function tableOfRow(into: Building, key: string): CurrentTable | undefined {
  if (into.current !== undefined && key.startsWith(into.current.table.key)) return into.current;
  const at = into.tables.descend(`${key}\u00ff`);
  if (at.key === undefined || !key.startsWith(at.key)) return undefined;
  const table = at.value;
  const tenant = into.tenants.get(tenantKey(table.tenantId));
  assert(tenant !== undefined, 'a table was read with its tenant');
  const indexes = table.indexes.map((indexKey) => into.indexes.get(indexKey));
  assert(
    indexes.every((index) => index !== undefined),
    'indexes were read before rows',
  );
  into.current = { table, tenant, indexes };
  return into.current;
}

/** Reads the cells of a row, as its table's columns have them; undefined where they cannot be. */
function readCells(columns: readonly Column[], reader: PackedReader): Cell[] | undefined {
  const cells = new Array<Cell>(columns.length);
  for (let i = 0; i < columns.length; i++) {
    const cell = reader.cell();
    if (reader.failed || !isCanonicalCell(columns[i] as Column, cell)) return undefined;
    cells[i] = cell;
  }
  return cells;
}

function readRow(into: Building, key: string, reader: PackedReader, end: number): string | undefined {
  const current = tableOfRow(into, key);
  if (current === undefined) return malformed;
  const { table, tenant, indexes } = current;
  const version = reader.i64();
  const cells = readCells(table.columns, reader);
  if (cells === undefined || reader.at !== end || version < 1 || version > into.position) return malformed;
  const own = rowKey(table, cells);
  if (own.length + table.key.length !== key.length || !key.endsWith(own)) return malformed;
  const row = makeRow(table.seed, own, version, cells);
  table.rows = table.rows.set(own, row, into.edit);
  table.rowBytes += row.bytes;
  table.digest.add(row);
  into.digest.add(row);
  let { bytes } = row;
  for (const index of indexes) {
    const before = index.entryBytes;
    const failure = addToIndex(table, index, own, cells, into.edit);
    if (failure !== undefined) return `contradicts index "${index.name}": ${failure.message}`;
    bytes += index.entryBytes - before;
  }
  into.usedBytes += bytes;
  tenant.usedBytes += bytes;
  return undefined;
}

function readOutcome(into: Building, key: string, value: Plain): boolean {
  const parts = members(value, ['idempotencyId', 'timestamp', 'commandHash', 'outcome']);
  if (parts === undefined || key.length !== 16) return false;
  const { idempotencyId, timestamp, commandHash, outcome } = parts;
  const tenantId = tenantOfKey(key);
  const position = tenantOfKey(key.slice(8));
  if (!isWhole(tenantId) || !isWhole(position) || position > into.position) return false;
  if (typeof idempotencyId !== 'string' || !isHex128(commandHash) || !isWhole(timestamp)) return false;
  if (timestamp > into.timestamp || !isRecord(outcome) || typeof outcome['ok'] !== 'boolean') return false;
  if (tenantId !== 0 && into.tenants.get(tenantKey(tenantId)) === undefined) return false;
  const windowKey = tenantKey(tenantId);
  const window = into.idempotency.get(windowKey) ?? emptyWindow(tenantId, into.edit);
  if (window.byId.has(idempotencyId)) return false;
  // An outcome only ever comes from this kernel; that its `ok` is a boolean is all that is read without care.
  const told = { idempotencyId, position, timestamp, commandHash, outcome: outcome as unknown as Outcome };
  const bytes = digestOutcome(one, tenantId, told);
  const remembered = { ...told, bytes };
  window.byId = window.byId.set(idempotencyId, remembered, into.edit);
  window.byPosition = window.byPosition.set(intKey(position), remembered, into.edit);
  window.digest.add(one);
  window.usedBytes += bytes;
  into.digest.add(one);
  into.usedBytes += bytes;
  into.idempotency = into.idempotency.set(windowKey, window, into.edit);
  return true;
}

function readEntity(into: Building, which: number, key: string, value: Plain): boolean {
  switch (which) {
    case part.header:
      return readHeader(into, key, value);
    case part.tenant:
      return readTenant(into, key, value);
    case part.table:
      return readTable(into, key, value);
    case part.index:
      return readIndex(into, key, value);
    case part.outcome:
      return readOutcome(into, key, value);
    default:
      return false;
  }
}

const malformed = 'is malformed';

/**
 * Reads one record, which is all there from the reader's place on. Gives what is wrong with it; what was built is of
 * no use any more then.
 */
export function readRecord(into: Building, reader: PackedReader): string | undefined {
  const which = reader.u8();
  const key = reader.byteString();
  const end = reader.u32() + reader.at;
  assert(!reader.failed, 'the reader is given whole records');
  const first = into.lastPart < 0;
  const ascends = which > into.lastPart || (which === into.lastPart && key > into.lastKey);
  if (first ? which !== part.header : !ascends) return 'is out of order';
  into.lastPart = which;
  into.lastKey = key;
  if (which === part.row) return readRow(into, key, reader, end);
  const read = readEntity(into, which, key, reader.plain());
  return read && !reader.failed && reader.at === end ? undefined : malformed;
}
