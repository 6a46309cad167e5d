import { assert } from '@kimberlite/base';
import { makeTable } from './apply-schema.ts';
import { canonicalJson } from './canonical-json.ts';
import { makeRow } from './entry-digest.ts';
import { rowKey } from './index-entry.ts';
import { tenantKey } from './key.ts';
import { newEdit } from './ordered-map.ts';
import type { JsonValue } from './query-types.ts';
import type { IndexState, KernelState, TableState, TenantState } from './state.ts';
import type { SystemTable } from './validate-query.ts';
import { toBase64 } from './text-forms.ts';
import type { Cell, Column, ColumnType, Value } from './value.ts';

// `$tenants`, `$tables` and `$indexes`: built when asked for, as tables of their own, so that they are
// queried like any other. Their sizes are bounded (tenantsMax, tablesPerTenantMax, indexesPerTableMax).

export type Catalogue = Pick<KernelState, 'tenants' | 'tables' | 'indexes'>;

const column = (name: string, type: ColumnType, nullable = false): Column => ({ name, type, nullable });

const schemas: Readonly<Record<SystemTable, readonly Column[]>> = {
  $tenants: [
    column('tenantId', 'int'),
    column('name', 'text'),
    column('tables', 'int'),
    column('usedBytes', 'int'),
    column('quotaBytes', 'int', true),
    column('created', 'int'),
  ],
  $tables: [
    column('table', 'text'),
    column('columns', 'json'),
    column('primaryKey', 'json'),
    column('indexes', 'json'),
    column('rows', 'int'),
    column('rowBytes', 'int'),
    column('created', 'int'),
  ],
  $indexes: [
    column('index', 'text'),
    column('table', 'text'),
    column('columns', 'json'),
    column('unique', 'bool'),
    column('state', 'text'),
    column('entries', 'int'),
    column('entryBytes', 'int'),
    column('created', 'int'),
  ],
};

const tenantCells = (tenant: TenantState): Cell[] => [
  tenant.tenantId,
  tenant.name,
  tenant.tables,
  tenant.usedBytes,
  tenant.quotaBytes,
  tenant.created,
];

const nameAt = (table: TableState, place: number): string => (table.columns[place] as Column).name;

/** A default as the catalogue shows it: bytes, large ints and nested JSON as text, so that depth stays bounded. */
function showDefault(given: Value): JsonValue {
  if (typeof given === 'bigint') return given.toString();
  if (given instanceof Uint8Array) return toBase64(given);
  return typeof given === 'object' && given !== null ? canonicalJson(given) : given;
}

const showColumn = ({ name, type, nullable, default: given }: Column): JsonValue => ({
  name,
  type: nullable ? `${type}?` : type,
  ...(given === undefined ? {} : { default: showDefault(given) }),
});

function tableCells(state: Catalogue, table: TableState): Cell[] {
  const indexes = table.indexes.map((key) => state.indexes.get(key)?.name ?? '');
  return [
    table.name,
    canonicalJson(table.columns.map(showColumn)),
    canonicalJson(table.keyPlaces.map((place) => nameAt(table, place))),
    canonicalJson(indexes),
    table.rows.size,
    table.rowBytes,
    table.created,
  ];
}

function indexCells(table: TableState, index: IndexState): Cell[] {
  assert(index.entries.size === table.rows.size, 'an index has an entry for every row');
  const columns = index.places.map((place) => nameAt(table, place));
  return [
    index.name,
    index.table,
    canonicalJson(columns),
    index.unique,
    'ready',
    index.entries.size,
    index.entryBytes,
    index.created,
  ];
}

function* rowsOf(state: Catalogue, name: SystemTable, tenantId: number): Generator<[Cell[], number]> {
  if (name === '$tenants') {
    for (const at = state.tenants.ascend(); at.key !== undefined; at.next()) {
      if (tenantId === 0 || at.value.tenantId === tenantId) yield [tenantCells(at.value), at.value.created];
    }
    return;
  }
  const prefix = tenantKey(tenantId);
  for (const at = state.tables.ascend(prefix); at.key?.startsWith(prefix) === true; at.next()) {
    const table = at.value;
    if (name === '$tables') {
      yield [tableCells(state, table), table.created];
      continue;
    }
    for (const key of table.indexes) {
      const index = state.indexes.get(key);
      assert(index !== undefined, 'an index named by its table exists');
      yield [indexCells(table, index), index.created];
    }
  }
}

/** One of the system tables as a table; tenant 0 stands for all tenants, in `$tenants` only. */
export function systemTable(state: Catalogue, name: SystemTable, tenantId: number): TableState {
  assert(tenantId !== 0 || name === '$tenants', 'only $tenants is about all tenants');
  const table = makeTable({ tenantId, name, columns: schemas[name], keyPlaces: [0], created: 0 });
  const edit = newEdit();
  for (const [cells, version] of rowsOf(state, name, tenantId)) {
    assert(cells.length === table.columns.length, 'a row has a cell for every column');
    const key = rowKey(table, cells);
    table.rows = table.rows.set(key, makeRow(table.seed, key, version, cells), edit);
  }
  return table;
}
