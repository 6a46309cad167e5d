import { assert } from '@kimberlite/base';
import { keyPart } from './key.ts';
import type { IndexState, TableState } from './state.ts';
import type { Cell, Column } from './value.ts';

/** The key of a row: the key parts of its primary key columns. */
export function rowKey(table: TableState, cells: readonly Cell[]): string {
  return indexPartsKey(table, table.keyPlaces, cells);
}

/** The joined key parts of some columns of a row. */
export function indexPartsKey(table: TableState, places: readonly number[], cells: readonly Cell[]): string {
  assert(places.length > 0, 'a key has at least one column');
  let key = '';
  for (let i = 0; i < places.length; i++) {
    const place = places[i] as number;
    const { type, nullable } = table.columns[place] as Column;
    key += keyPart(type, nullable, cells[place] as Cell);
  }
  return key;
}

/** The key of a row's entry in an index: the indexed columns, then the row's key. */
export function indexEntryKey(table: TableState, index: IndexState, key: string, cells: readonly Cell[]): string {
  assert(index.table === table.name && index.tenantId === table.tenantId, 'an index belongs to its table');
  return indexPartsKey(table, index.places, cells) + key;
}
