import type { Command } from 'commander';
import { type Database, withClient } from '../cluster.ts';
import {
  type ClusterOptions,
  type Context,
  endpointsOf,
  examples,
  printJson,
  wholeNumber,
  withCluster,
} from '../context.ts';
import { fail } from '../failure.ts';
import { rowsTable } from '../rows-table.ts';
import { line } from '../terminal.ts';
import { ask, printAnswer, type QueryDocument } from './query.ts';

interface Flags extends ClusterOptions {
  readonly tenant?: number;
}

const tenantNumber = wholeNumber('--tenant', 1, Number.MAX_SAFE_INTEGER);
type Row = Readonly<Record<string, unknown>>;

export function addTables(program: Command, context: Context): void {
  const command = withCluster(program.command('tables'))
    .summary('the tables there are')
    .description('Lists tables: of one tenant, or of all.')
    .option('--tenant <n>', 'only this tenant', tenantNumber)
    .action(async (flags: Flags) => {
      const document = await withClient(endpointsOf(context, flags), (client) => listTables(client, flags.tenant));
      if (flags.json === true) return printJson(context, document);
      if (document.rows.length === 0)
        line(context.terminal.err, 'No tables yet. `kimberlite exec --help` shows how to make one.');
      else printAnswer(context.terminal, { ...document, rows: document.rows.map(shortTable) });
    });
  examples(command, [
    ['all', 'kimberlite tables'],
    ['of tenant 1', 'kimberlite tables --tenant 1'],
  ]);
}

export function addDescribe(program: Command, context: Context): void {
  const command = withCluster(program.command('describe'))
    .summary('columns, primary key and indexes of a table')
    .description('Describes a table. Without --tenant the table is looked for in every tenant.')
    .argument('<table>', 'name of the table')
    .option('--tenant <n>', 'the tenant it belongs to', tenantNumber)
    .action(async (table: string, flags: Flags) => {
      const found = await withClient(endpointsOf(context, flags), (client) => describe(client, table, flags.tenant));
      if (flags.json === true) printJson(context, found);
      else printDescription(context, found);
    });
  examples(command, [['the table patients of tenant 1', 'kimberlite describe patients --tenant 1']]);
}

/** Every page of a query. */
async function askWhole(client: Database, query: Row): Promise<QueryDocument> {
  const rows: Row[] = [];
  let page = await ask(client, query);
  rows.push(...page.rows);
  while (page.cursor !== undefined) {
    page = await ask(client, { ...query, cursor: page.cursor });
    rows.push(...page.rows);
  }
  const { position, timestamp } = page;
  return { rows, position, timestamp };
}

export const listTenants = (client: Database): Promise<QueryDocument> =>
  askWhole(client, { tenantId: 0, table: '$tenants' });

export async function listTables(client: Database, tenantId: number | undefined): Promise<QueryDocument> {
  if (tenantId !== undefined) return withTenant(await askWhole(client, { tenantId, table: '$tables' }), tenantId);
  const tenants = await listTenants(client);
  const lists = await Promise.all(
    tenants.rows.map(async (tenant) => {
      const id = Number(tenant['tenantId']);
      return withTenant(await askWhole(client, { tenantId: id, table: '$tables' }), id);
    }),
  );
  const last = lists.at(-1) ?? tenants;
  return { rows: lists.flatMap((list) => list.rows), position: last.position, timestamp: last.timestamp };
}

const withTenant = (document: QueryDocument, tenantId: number): QueryDocument => ({
  ...document,
  rows: document.rows.map((row) => ({ tenantId, ...row })),
});

export interface Description {
  readonly tenantId: number;
  readonly table: Row;
  readonly indexes: readonly Row[];
}

export async function describe(client: Database, table: string, tenantId: number | undefined): Promise<Description> {
  const { rows } = await listTables(client, tenantId);
  const found = rows.filter((row) => nameOf(row) === table);
  const [first, second] = found;
  if (first === undefined) {
    const known = rows.map(nameOf).filter((name) => name !== undefined);
    const fix =
      known.length === 0 ? 'There are no tables yet.' : `There are: ${[...new Set(known)].slice(0, 20).join(', ')}.`;
    throw fail(
      'TableNotFound',
      `There is no table "${table}"${tenantId === undefined ? '' : ` in tenant ${tenantId}`}.`,
      fix,
    );
  }
  if (second !== undefined) {
    const tenants = found.map((row) => String(row['tenantId'])).join(', ');
    throw fail('TenantNeeded', `Several tenants have a table "${table}": ${tenants}.`, 'Say which with --tenant.');
  }
  const owner = Number(first['tenantId']);
  const indexes = await askWhole(client, { tenantId: owner, table: '$indexes' });
  return { tenantId: owner, table: first, indexes: indexes.rows.filter((row) => row['table'] === table) };
}

const nameOf = (row: Row): string | undefined => {
  const name = row['table'] ?? row['name'];
  return typeof name === 'string' ? name : undefined;
};

/** `type` ends with ? where the column is nullable. */
interface ColumnShape {
  readonly name: string;
  readonly type: string;
  readonly default?: unknown;
}

function columnsOf(row: Row): readonly ColumnShape[] {
  const { columns } = row;
  return Array.isArray(columns) ? (columns as readonly ColumnShape[]) : [];
}

/** A table in one line: columns as they are written at the prompt. */
export function shortTable(row: Row): Row {
  const columns = columnsOf(row).map(({ name, type }) => `${name}:${type}`);
  const { primaryKey } = row;
  const key = Array.isArray(primaryKey) ? primaryKey.join(', ') : primaryKey;
  return { ...row, columns: columns.join(' '), primaryKey: key };
}

export function printDescription(context: Context, { tenantId, table, indexes }: Description): void {
  const { terminal } = context;
  const { primaryKey } = table;
  line(terminal.out, `${terminal.colors.bold(nameOf(table) ?? '')} of tenant ${tenantId}`);
  line(terminal.out, `primary key: ${Array.isArray(primaryKey) ? primaryKey.join(', ') : String(primaryKey)}`);
  const columns = columnsOf(table).map((column) => ({
    column: column.name,
    type: column.type.replace('?', ''),
    nullable: column.type.endsWith('?') ? 'yes' : 'no',
    default: column.default === undefined ? '' : JSON.stringify(column.default),
  }));
  line(terminal.out, rowsTable(terminal, columns));
  if (indexes.length === 0) return;
  line(terminal.out);
  line(
    terminal.out,
    rowsTable(
      terminal,
      indexes.map(({ table: _table, ...rest }) => ({ ...rest })),
    ),
  );
}
