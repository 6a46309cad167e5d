import { toJson } from '@kimberlite/wire';
import type { Command } from 'commander';
import { asQuery, type Database, readArgument, withClient } from '../cluster.ts';
import { type ClusterOptions, type Context, endpointsOf, examples, printJson, withCluster } from '../context.ts';
import { UsageFailure } from '../failure.ts';
import { rowsTable } from '../rows-table.ts';
import { line, type Terminal } from '../terminal.ts';

/** What `query --json` prints. */
export interface QueryDocument {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly cursor?: string;
  readonly position: number;
  readonly timestamp: number;
}

export function addQuery(program: Command, context: Context): void {
  const command = withCluster(program.command('query'))
    .summary('read rows of a table')
    .description('Reads rows, as of a moment after the call was made. `-` reads the JSON from stdin.')
    .argument('<json>', '{ tenantId, table, where?, select?, orderBy?, limit?, cursor? }, or - for stdin')
    .action(async (argument: string, options: ClusterOptions) => {
      const query = queryOf(await readArgument(context, argument));
      const document = await withClient(endpointsOf(context, options), (client) => ask(client, query));
      if (options.json === true) printJson(context, document);
      else printAnswer(context.terminal, document);
    });
  examples(command, [
    ['all rows (the first 1000)', `kimberlite query '{"tenantId":1,"table":"patients"}'`],
    [
      'conditions: eq ne lt lte gt gte in prefix, and/or/not',
      `kimberlite query '{"tenantId":1,"table":"patients","where":{"name":{"gte":"A"}},"orderBy":["name"],"limit":10}'`,
    ],
    ['with the version of each row', `kimberlite query '{"tenantId":1,"table":"patients","select":["id","$version"]}'`],
    ['the tenants themselves', `kimberlite query '{"tenantId":0,"table":"$tenants"}'`],
  ]);
}

export function queryOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new UsageFailure('A query is a JSON object such as {"tenantId":1,"table":"patients"}.');
}

export async function ask(client: Database, query: unknown): Promise<QueryDocument> {
  const { rows, ...rest } = await client.query(asQuery(query));
  // Through JSON's edge: an int beyond 2^53 becomes a decimal string, bytes base64.
  return { ...rest, rows: rows.map((row) => jsonRow(row)) };
}

function jsonRow(row: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, toJson(value)]));
}

export function printAnswer(terminal: Terminal, document: QueryDocument): void {
  const { rows, cursor, position, timestamp } = document;
  if (rows.length > 0) line(terminal.out, rowsTable(terminal, rows));
  const when = timestamp > 0 ? `, ${new Date(timestamp / 1000).toISOString()}` : '';
  line(
    terminal.err,
    terminal.colors.dim(`${rows.length} ${rows.length === 1 ? 'row' : 'rows'}, as of position ${position}${when}`),
  );
  if (cursor !== undefined)
    line(terminal.err, terminal.colors.dim(`There may be more: the same query with "cursor":"${cursor}"`));
}
