import { createInterface, type Interface } from 'node:readline';
import { clusterStatus } from '@kimberlite/client';
import { unreachable } from '@kimberlite/base';
import { type Database, withClient } from '../cluster.ts';
import { executeOne, printRow } from '../commands/exec.ts';
import { ask, printAnswer, type QueryDocument } from '../commands/query.ts';
import { printStatus } from '../commands/status.ts';
import { describe, listTables, listTenants, printDescription, shortTable } from '../commands/tables.ts';
import type { Context } from '../context.ts';
import type { Endpoints } from '../endpoints.ts';
import { reportOf } from '../failure.ts';
import { statusDocument } from '../status-document.ts';
import { line } from '../terminal.ts';
import { historyFile, historyLinesMax, readHistory, writeHistory } from './history.ts';
import { helpText, parseStatement, type Statement, verbs } from './language.ts';

/** What the prompt remembers between lines. */
interface Session {
  readonly context: Context;
  readonly endpoints: Endpoints;
  readonly client: Database;
  tenantId: number | null;
  /** Names for completion; refreshed after whatever may have changed them. */
  tables: readonly string[];
  tenants: readonly string[];
  failed: boolean;
}

/** Runs until the end of the input. On a terminal mistakes are part of the day; in a script any makes the exit code 1. */
export async function runRepl(context: Context, endpoints: Endpoints, tenantId: number | null): Promise<0 | 1> {
  return await withClient(endpoints, async (client) => {
    const session: Session = { context, endpoints, client, tenantId, tables: [], tenants: [], failed: false };
    const interactive = process.stdin.isTTY === true;
    await refresh(session);
    if (interactive)
      line(context.terminal.out, `Connected to ${endpoints.join(', ')}. help shows what can be typed, Ctrl-D leaves.`);
    await readLines(session, interactive);
    return session.failed && !interactive ? 1 : 0;
  });
}

async function readLines(session: Session, interactive: boolean): Promise<void> {
  const file = historyFile(session.context.env);
  const options = interactive
    ? { terminal: true, history: readHistory(file), historySize: historyLinesMax, removeHistoryDuplicates: true }
    : { terminal: false };
  const prompt = createInterface({
    input: process.stdin,
    output: interactive ? process.stdout : undefined,
    completer: (text: string) => complete(session, text),
    ...options,
  });
  prompt.on('history', (lines: string[]) => writeHistory(file, lines));
  prompt.on('SIGINT', () => prompt.close());
  const ask = (): void => {
    if (!interactive) return;
    prompt.setPrompt(session.tenantId === null ? 'kimberlite> ' : `kimberlite:${session.tenantId}> `);
    prompt.prompt();
  };
  ask();
  for await (const text of prompt) {
    if (!(await take(session, text, prompt))) break;
    ask();
  }
  prompt.close();
}

/** False: leave. */
async function take(session: Session, text: string, prompt: Interface): Promise<boolean> {
  const statement = parseStatement(text, session.tenantId);
  if (statement.type === 'exit') return false;
  try {
    await run(session, statement);
  } catch (error) {
    complain(session, reportOf(error).code, reportOf(error).message);
  }
  prompt.resume();
  return true;
}

function complain(session: Session, code: string, message: string): void {
  session.failed = true;
  const { terminal } = session.context;
  line(terminal.err, terminal.colors.red(`✗ ${code}: ${message}`));
}

async function run(session: Session, statement: Exclude<Statement, { type: 'exit' }>): Promise<void> {
  const { context, client } = session;
  const { terminal } = context;
  switch (statement.type) {
    case 'nothing':
      return;
    case 'help':
      return line(terminal.out, helpText);
    case 'mistake':
      return complain(session, 'NotUnderstood', statement.message);
    case 'use':
      session.tenantId = statement.tenantId;
      return refresh(session);
    case 'exec':
      for (const command of statement.commands) {
        const row = await executeOne(client, command);
        if (!row.ok) session.failed = true;
        printRow(terminal, row);
      }
      return refresh(session);
    case 'query':
      return printAnswer(terminal, await ask(client, statement.query));
    case 'tenants':
      return printAnswer(terminal, await listTenants(client));
    case 'tables':
      return printTables(session, await listTables(client, session.tenantId ?? undefined));
    case 'describe':
      return printDescription(context, await describe(client, statement.table, session.tenantId ?? undefined));
    case 'status': {
      const document = statusDocument(await clusterStatus(session.endpoints));
      return document === null
        ? complain(session, 'ConnectFailed', 'No node answered.')
        : printStatus(terminal, document);
    }
    default:
      return unreachable(statement);
  }
}

const printTables = ({ context }: Session, document: QueryDocument): void =>
  printAnswer(context.terminal, { ...document, rows: document.rows.map(shortTable) });

/** Completion is a courtesy: without an answer there is none. */
async function refresh(session: Session): Promise<void> {
  try {
    const tenants = await listTenants(session.client);
    session.tenants = tenants.rows.map((row) => String(row['tenantId']));
    if (session.tenantId === null) session.tables = [];
    else {
      const { rows } = await listTables(session.client, session.tenantId);
      session.tables = rows.map((row) => String(row['table'] ?? row['name']));
    }
  } catch {
    session.tables = [];
  }
}

/** What may follow: a verb first, then the number of a tenant or the name of a table. */
export function complete(session: Pick<Session, 'tables' | 'tenants'>, text: string): [string[], string] {
  const words = text.trimStart().split(/\s+/);
  const last = words.at(-1) ?? '';
  const choices =
    words.length <= 1 ? verbs : words[0] === 'use' ? session.tenants : words.length === 2 ? session.tables : [];
  return [choices.filter((choice) => choice.startsWith(last)).map((choice) => `${choice} `), last];
}
