import { assert, err, ok, type Result, utf8Length } from '@kimberlite/base';
import { showCell } from './cell.ts';
import { decodeCursor, encodeCursor, type Place } from './cursor.ts';
import type { KernelError } from './error.ts';
import { rowKey } from './index-entry.ts';
import { afterPrefix, namedKey } from './key.ts';
import { charactersExaminedMax, queryLimitDefault, queryReplyBytesMax, rowsExaminedMax } from './limits.ts';
import type { OrderedMap } from './ordered-map.ts';
import { type Access, choosePath, type KeyRange, type Order, type Path, suggestIndex } from './plan.ts';
import { comparable, compileWhere, Matcher, type Predicate } from './predicate.ts';
import type { Query, QueryAnswer } from './query-types.ts';
import * as reject from './reject.ts';
import { findTenant, type KernelState, type TableState } from './state.ts';
import { systemTable } from './system-tables.ts';
import { isSystemTable } from './validate-query.ts';
import type { Cell, Column, Row, StoredRow, Value } from './value.ts';

// Reading. The same function answers a Query in the log and one on the fast path.

/** The part of a state that a query reads. */
export type QueryState = Pick<KernelState, 'position' | 'timestamp' | 'tenants' | 'tables' | 'indexes'>;

/** A query against the table it is about. */
interface Prepared {
  readonly query: Query;
  readonly table: TableState;
  readonly predicate: Predicate;
  readonly order: readonly Order[];
  readonly path: Path;
  /** Index entries, where the path is an index. */
  readonly entries: OrderedMap<string> | undefined;
  readonly after: Place | undefined;
  readonly limit: number;
  /** Places to show, -1 for `$version`. */
  readonly shown: readonly number[];
}

interface Found {
  readonly key: string;
  readonly row: StoredRow;
  readonly order: readonly string[];
}

const names = (table: TableState): readonly string[] => table.columns.map((column) => column.name);

function findTable(state: QueryState, query: Query): Result<TableState, KernelError> {
  const { tenantId, table: name } = query;
  const anyTenant = tenantId === 0 && name === '$tenants';
  if (!anyTenant && findTenant(state, tenantId) === undefined) return err(reject.tenantNotFound(tenantId));
  if (isSystemTable(name)) return ok(systemTable(state, name, tenantId));
  const table = state.tables.get(namedKey(tenantId, name));
  return table === undefined ? err(reject.tableNotFound(tenantId, name)) : ok(table);
}

function prepareOrder(table: TableState, query: Query): Result<readonly Order[], KernelError> {
  const order: Order[] = [];
  for (const by of query.orderBy ?? []) {
    const name = typeof by === 'string' ? by : by.column;
    const place = table.places.get(name);
    if (place === undefined) return err(reject.columnNotFound(table, name, names(table)));
    if (table.columns[place]?.type === 'json') {
      return err(reject.typeMismatch(table, name, 'no orderBy: json has no order', 'orderBy'));
    }
    order.push({ place, descending: typeof by !== 'string' && by.direction === 'desc' });
  }
  assert(order.length === (query.orderBy?.length ?? 0), 'every column of orderBy is found');
  return ok(order);
}

function prepareShown(table: TableState, query: Query): Result<readonly number[], KernelError> {
  if (query.select === undefined) return ok(table.columns.map((_, i) => i));
  const shown: number[] = [];
  for (const name of query.select) {
    const place = name === '$version' ? -1 : table.places.get(name);
    if (place === undefined) return err(reject.columnNotFound(table, name, [...names(table), '$version']));
    shown.push(place);
  }
  return ok(shown);
}

function accessesOf(state: QueryState, table: TableState): readonly Access[] {
  const accesses: Access[] = [{ kind: 'primary-key', name: '', places: table.keyPlaces }];
  for (const key of table.indexes) {
    const index = state.indexes.get(key);
    assert(index !== undefined, 'an index named by its table exists');
    accesses.push({ kind: 'index', name: index.name, places: index.places });
  }
  return accesses;
}

function prepare(state: QueryState, query: Query): Result<Prepared, KernelError> {
  const table = findTable(state, query);
  if (!table.ok) return table;
  const order = prepareOrder(table.value, query);
  if (!order.ok) return order;
  const shown = prepareShown(table.value, query);
  if (!shown.ok) return shown;
  const predicate = compileWhere(table.value, query.where ?? {});
  if (!predicate.ok) return predicate;
  const { columns, keyPlaces, tenantId } = table.value;
  const after =
    query.cursor === undefined ? undefined : decodeCursor(query, query.cursor, order.value.length, keyPlaces.length);
  if (query.cursor !== undefined && after === undefined) {
    return err(
      reject.invalidCommand('cursor', 'belongs to another query; repeat that query, or start without a cursor'),
    );
  }
  const path = choosePath(accessesOf(state, table.value), predicate.value, columns, order.value);
  const entries =
    path.access.kind === 'index' ? state.indexes.get(namedKey(tenantId, path.access.name))?.entries : undefined;
  return ok({
    query,
    table: table.value,
    predicate: predicate.value,
    order: order.value,
    path,
    entries,
    after,
    limit: query.limit ?? queryLimitDefault,
    shown: shown.value,
  });
}

function orderParts(prepared: Prepared, row: StoredRow): readonly string[] {
  const { table, order } = prepared;
  return order.map(({ place }) => comparable(table.columns[place] as Column, row.cells[place] as Cell));
}

/** Negative when the first place comes before the second in the asked order. Ties follow the last direction. */
function comparePlaces(
  order: readonly Order[],
  a: readonly string[],
  aKey: string,
  b: readonly string[],
  bKey: string,
): number {
  for (let i = 0; i < order.length; i++) {
    const x = a[i] as string;
    const y = b[i] as string;
    if (x !== y) return x < y !== (order[i] as Order).descending ? -1 : 1;
  }
  if (aKey === bKey) return 0;
  const descending = order.length > 0 && (order[order.length - 1] as Order).descending;
  return aKey < bKey !== descending ? -1 : 1;
}

/** As much of the path's key of the cursor's row as the cursor tells; an ordered path can start there. */
function seekPrefix(prepared: Prepared, after: Place): string {
  const { path, table, order } = prepared;
  if (path.access.kind === 'primary-key') return after.key.join('');
  let prefix = '';
  for (let i = 0; i < path.access.places.length; i++) {
    const place = path.access.places[i] as number;
    const asked = order.findIndex((by) => by.place === place);
    const inKey = table.keyPlaces.indexOf(place);
    const part = asked >= 0 ? after.order[asked] : inKey >= 0 ? after.key[inKey] : undefined;
    if (part === undefined) return prefix;
    prefix += part;
  }
  return prefix + after.key.join('');
}

/** Cuts a range down to what can come behind the cursor. */
function seek(range: KeyRange, prefix: string | undefined, descending: boolean): KeyRange {
  if (prefix === undefined) return range;
  if (!descending) return prefix > range.low ? { low: prefix, high: range.high } : range;
  const end = afterPrefix(prefix);
  return end !== undefined && (range.high === undefined || end < range.high) ? { low: range.low, high: end } : range;
}

/** Rows found so far. `more` turns true when the search ends before its last row. */
interface Search {
  readonly found: Found[];
  readonly matcher: Matcher;
  examined: number;
  /** Characters of the keys made for sorting. */
  sorted: number;
  more: boolean;
}

/** The bound a search has gone beyond, if any. */
function exceeded({ examined, matcher, sorted }: Search): reject.QueryBound | undefined {
  if (examined > rowsExaminedMax) return { bound: 'rowsExaminedMax', limit: rowsExaminedMax };
  return matcher.work + sorted > charactersExaminedMax
    ? { bound: 'charactersExaminedMax', limit: charactersExaminedMax }
    : undefined;
}

/** Looks at one row. True: enough was found. */
function look(prepared: Prepared, search: Search, key: string, row: StoredRow, afterKey: string | undefined): boolean {
  const { order, after, path, limit } = prepared;
  if (path.ordered && search.found.length >= limit) {
    search.more = true;
    return true;
  }
  search.examined++;
  if (exceeded(search) !== undefined) return true;
  if (!search.matcher.matches(row)) return false;
  const parts = orderParts(prepared, row);
  for (const part of parts) search.sorted += part.length;
  if (after !== undefined && comparePlaces(order, parts, key, after.order, afterKey ?? '') <= 0) return false;
  search.found.push({ key, row, order: parts });
  return false;
}

function search(prepared: Prepared): Search {
  const { path, table, entries, after } = prepared;
  // A system table was built row by row to be looked at.
  const examined = isSystemTable(table.name) ? table.rows.size : 0;
  const matcher = new Matcher(prepared.predicate, table.columns);
  const result: Search = { found: [], matcher, examined, sorted: 0, more: false };
  const { descending } = path.ordered ? path : { descending: false };
  const prefix = path.ordered && after !== undefined ? seekPrefix(prepared, after) : undefined;
  const afterKey = after?.key.join('');
  const ranges = descending ? [...path.ranges].reverse() : path.ranges;
  for (const whole of ranges) {
    const { low, high } = seek(whole, prefix, descending);
    const map: OrderedMap<StoredRow | string> = entries ?? table.rows;
    const at = descending ? map.descend(high) : map.ascend(low);
    for (; at.key !== undefined; at.next()) {
      if (descending ? at.key < low : high !== undefined && at.key >= high) break;
      const { value } = at;
      const key = typeof value === 'string' ? value : at.key;
      const row = typeof value === 'string' ? table.rows.get(value) : value;
      assert(row !== undefined, 'an index entry leads to a row');
      if (look(prepared, result, key, row, afterKey)) return result;
    }
  }
  return result;
}

const cellBytes = (cell: Cell): number =>
  typeof cell === 'string' ? utf8Length(cell) + 5 : cell instanceof Uint8Array ? cell.length + 5 : 9;

/** Builds the rows of the answer, as many as its bounds allow. */
function show(prepared: Prepared, found: readonly Found[]): { readonly rows: Row[]; readonly cut: boolean } {
  const { table, shown, limit } = prepared;
  const rows: Row[] = [];
  let bytes = 0;
  for (let i = 0; i < found.length && i < limit; i++) {
    const { row } = found[i] as Found;
    const shape: Record<string, Value> = {};
    for (const place of shown) {
      if (place === -1) {
        shape['$version'] = row.version;
        bytes += 18;
        continue;
      }
      const { name, type } = table.columns[place] as Column;
      const cell = row.cells[place] as Cell;
      bytes += name.length + 1 + cellBytes(cell);
      shape[name] = showCell(type, cell);
    }
    if (bytes > queryReplyBytesMax && rows.length > 0) return { rows, cut: true };
    rows.push(shape);
  }
  return { rows, cut: rows.length < found.length };
}

function cursorAt(prepared: Prepared, last: Found): string {
  const { table, query } = prepared;
  const key = table.keyPlaces.map((place) => comparable(table.columns[place] as Column, last.row.cells[place] as Cell));
  assert(key.join('') === rowKey(table, last.row.cells), 'the parts of a key make the key');
  return encodeCursor(query, { order: last.order, key });
}

/**
 * Answers a validated query from one state; reads only. Errors: TenantNotFound, TableNotFound, ColumnNotFound,
 * TypeMismatch, InvalidCommand (a foreign cursor), QueryTooExpensive.
 */
export function query(state: QueryState, asked: Query): Result<QueryAnswer, KernelError> {
  const prepared = prepare(state, asked);
  if (!prepared.ok) return prepared;
  const { table, path, order, predicate } = prepared.value;
  const result = search(prepared.value);
  const bound = exceeded(result);
  if (bound !== undefined) {
    return err(reject.queryTooExpensive(table, bound, suggestIndex(predicate, table.columns, order)));
  }
  const { found } = result;
  if (!path.ordered) found.sort((a, b) => comparePlaces(order, a.order, a.key, b.order, b.key));
  const { rows, cut } = show(prepared.value, found);
  assert(rows.length <= prepared.value.limit, 'an answer is within its limit');
  const last = found[rows.length - 1];
  const cursor = (cut || result.more) && last !== undefined ? cursorAt(prepared.value, last) : undefined;
  const { kind, name } = path.access;
  const access = path.whole && kind === 'primary-key' ? 'scan' : kind;
  return ok({
    rows,
    ...(cursor === undefined ? {} : { cursor }),
    position: state.position,
    timestamp: state.timestamp,
    ...(asked.explain === true
      ? { plan: { access, ...(name === '' ? {} : { index: name }), sorted: !path.ordered, examined: result.examined } }
      : {}),
  });
}
