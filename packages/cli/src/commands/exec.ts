import { toJson } from '@kimberlite/wire';
import type { Command } from 'commander';
import { asCommand, type Database, readArgument, withClient } from '../cluster.ts';
import {
  type ClusterOptions,
  type Context,
  endpointsOf,
  examples,
  type ExitCode,
  printJson,
  withCluster,
} from '../context.ts';
import { type ErrorReport, reportOf, UsageFailure } from '../failure.ts';
import { line, type Terminal } from '../terminal.ts';

/** Calls in flight at a time. They take effect in the order of the array all the same: one client, one order. */
const inFlightMax = 256;

/** One line of `exec --json`. */
export type ExecRow =
  | {
      readonly ok: true;
      readonly position: number;
      readonly op: number;
      readonly timestamp: number;
      readonly isReplay: boolean;
      readonly result?: unknown;
    }
  | { readonly ok: false; readonly error: ErrorReport; readonly position?: number };

export function addExec(program: Command, context: Context): void {
  const command = withCluster(program.command('exec'))
    .summary('submit a command, or an array of them in order')
    .description(
      'Submits one command, or an array of commands in order. The array is not atomic: it goes on after a\n' +
        'rejection, and the exit code is 1 if any failed. `-` reads the JSON from stdin.',
    )
    .argument('<json>', 'a command, an array of commands, or - for stdin')
    .action(async (argument: string, options: ClusterOptions) => {
      const commands = commandsOf(await readArgument(context, argument));
      const rows = await withClient(endpointsOf(context, options), (client) => execute(client, commands));
      if (options.json === true) printJson(context, rows);
      else for (const row of rows) printRow(context.terminal, row);
      const code: ExitCode = rows.every((row) => row.ok) ? 0 : 1;
      process.exitCode = code;
    });
  examples(command, [
    ['a tenant, a table, a row', `kimberlite exec '{"type":"CreateTenant","tenantId":1,"name":"clinic"}'`],
    [
      'column types: int float text bool bytes timestamp json, with ? for nullable',
      `kimberlite exec '{"type":"CreateTable","tenantId":1,"table":"patients","columns":{"id":"int","name":"text?"},"primaryKey":["id"]}'`,
    ],
    [
      'ints beyond 2^53 are decimal strings, bytes are base64',
      `kimberlite exec '{"type":"Insert","tenantId":1,"table":"patients","row":{"id":1,"name":"Ada"}}'`,
    ],
    [
      'sent twice, applied once',
      `kimberlite exec '{"type":"Update","tenantId":1,"table":"patients","key":{"id":1},"set":{"name":"Ada L."},"idempotencyId":"req-7"}'`,
    ],
    ['a file of commands', 'kimberlite exec - < commands.json'],
  ]);
}

/** Anything may stand in the array: what is no command is rejected in its place, like any other bad command. */
function commandsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value === 'object' && value !== null) return [value];
  throw new UsageFailure('A command is a JSON object such as {"type":"CreateTenant","tenantId":1,"name":"clinic"}.');
}

export async function execute(client: Database, commands: readonly unknown[]): Promise<ExecRow[]> {
  const rows = new Array<ExecRow>(commands.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < commands.length) {
      const index = next++;
      rows[index] = await executeOne(client, commands[index]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlightMax, commands.length) }, lane));
  return rows;
}

export async function executeOne(client: Database, command: unknown): Promise<ExecRow> {
  try {
    const { position, op, timestamp, isReplay, result } = await client.exec(asCommand(command));
    const row = { ok: true as const, position, op, timestamp, isReplay };
    return result === undefined ? row : { ...row, result: toJson(result) };
  } catch (error) {
    const { position, ...report } = reportOf(error);
    return typeof position === 'number' ? { ok: false, error: report, position } : { ok: false, error: report };
  }
}

export function printRow(terminal: Terminal, row: ExecRow): void {
  const { colors } = terminal;
  if (!row.ok) {
    const at = row.position === undefined ? '' : colors.dim(` (position ${row.position})`);
    line(terminal.out, `${colors.red('✗')} ${row.error.code}: ${row.error.message}${at}`);
    if (row.error.outcome === 'unknown') {
      line(
        terminal.out,
        colors.yellow('  Its outcome is unknown: it may still take effect. Look before trying again.'),
      );
    }
    return;
  }
  const when = new Date(row.timestamp / 1000).toISOString();
  const replay = row.isReplay ? colors.dim(' (seen before: the first outcome again)') : '';
  line(terminal.out, `${colors.green('✓')} position ${row.position}  ${colors.dim(`op ${row.op}  ${when}`)}${replay}`);
  if (row.result !== undefined) line(terminal.out, `  ${JSON.stringify(row.result)}`);
}
