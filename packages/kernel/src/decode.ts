import { assert, isHex128, isNatural } from '@kimberlite/base';
import { addToIndex, makeTable } from './apply-schema.ts';
import { canonicalJson, isJsonValue, isRecord, parseCanonicalJson } from './canonical-json.ts';
import { toCell } from './cell.ts';
import { Digest } from './digest.ts';
import { digestEntity, indexPlain, makePackedRow, type Part, part, tablePlain, tenantPlain } from './entry-digest.ts';
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
  /** Part of the record read last, -1 before the first. Records ascend by part, then strictly by key. */
  lastPart: number;
  /** Its key (of a row, the one within its table); undefined where a part or table begins. */
  lastKey: string | undefined;
}

export const newBuilding = (): Building => ({
  ...initialState(),
  edit: newEdit(),
  digest: new Digest(),
  current: undefined,
  lastPart: -1,
  lastKey: undefined,
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
      return typeof cell === 'string';
    case 'bytes':
      return cell instanceof Uint8Array;
    default:
      return typeof cell !== 'string' && toCell(column.type, cell) === cell;
  }
}

/** The table whose rows come next, by the key of the first of them. */
function enterTable(into: Building, key: string): CurrentTable | undefined {
  const at = into.tables.descend(`${key}\u00ff`);
  if (at.key === undefined || !key.startsWith(at.key)) return undefined;
  const { current } = into;
  if (current !== undefined && at.key <= current.table.key) return undefined;
  const table = at.value;
  const tenant = into.tenants.get(tenantKey(table.tenantId));
  assert(tenant !== undefined, 'a table was read with its tenant');
  const indexes = table.indexes.map((indexKey) => into.indexes.get(indexKey));
  assert(
    indexes.every((index) => index !== undefined),
    'indexes were read before rows',
  );
  into.current = { table, tenant, indexes };
  into.lastKey = undefined;
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

/**
 * Reads a row. Its key follows from its cells, and is only compared with what is there: that costs less than reading
 * it. Keys of tables end themselves, so rows are in order when their tables are and, in each, their own keys.
 */
function readRow(into: Building, reader: PackedReader): string | undefined {
  const keyAt = reader.at + 4;
  const inTable = into.current !== undefined && reader.matches(keyAt, into.current.table.key);
  const keyLength = inTable ? reader.u32() : 0;
  const current = inTable ? into.current : enterTable(into, reader.byteString());
  if (current === undefined) return 'belongs to no table, or is out of order';
  if (inTable) reader.at += keyLength;
  const { table, tenant, indexes } = current;
  const keyEnd = reader.at;
  const end = reader.u32() + reader.at;
  const valueAt = reader.at;
  const version = reader.i64();
  const cells = readCells(table.columns, reader);
  if (cells === undefined || reader.at !== end || version < 1 || version > into.position) return malformed;
  const own = rowKey(table, cells);
  const ownAt = keyAt + table.key.length;
  if (ownAt + own.length !== keyEnd || !reader.matches(ownAt, own)) return malformed;
  if (into.lastKey !== undefined && own <= into.lastKey) return 'is out of order';
  into.lastKey = own;
  const row = makePackedRow(table.seed, own, version, cells, { reader, from: valueAt, to: end });
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

/** Reads an entry that is not a row. */
function readKeyed(into: Building, which: number, reader: PackedReader): string | undefined {
  const key = reader.byteString();
  const end = reader.u32() + reader.at;
  if (into.lastKey !== undefined && key <= into.lastKey) return 'is out of order';
  into.lastKey = key;
  const read = readEntity(into, which, key, reader.plain());
  return read && !reader.failed && reader.at === end ? undefined : malformed;
}

/**
 * Reads one record, which is all there from the reader's place on. Gives what is wrong with it; what was built is of
 * no use any more then.
 */
export function readRecord(into: Building, reader: PackedReader): string | undefined {
  const which = reader.u8();
  const { lastPart } = into;
  if (lastPart < 0 ? which !== part.header : which < lastPart) return 'is out of order';
  if (which > lastPart) into.lastKey = undefined;
  into.lastPart = which;
  return which === part.row ? readRow(into, reader) : readKeyed(into, which, reader);
}
