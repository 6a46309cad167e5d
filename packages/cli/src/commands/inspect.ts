import { resolve } from 'node:path';
import { checkpointParts, prepareBody, unreachable } from '@kimberlite/base';
import {
  type CheckpointInspection,
  inspectCheckpoints,
  inspectOp,
  inspectSuperblock,
  type HeaderRecord,
  listLog,
  type OpInspection,
  type SuperblockInspection,
} from '@kimberlite/log';
import { decodeBatch, decodeDurableState } from '@kimberlite/vsr';
import { decodeCommands, toJson } from '@kimberlite/wire';
import type { Command } from 'commander';
import { type Context, examples, printJson, withJson } from '../context.ts';
import { fail, UsageFailure } from '../failure.ts';
import { completed, withDirectory } from '../offline/directory.ts';
import { table } from '../rows-table.ts';
import { line } from '../terminal.ts';

interface Flags {
  readonly json?: boolean;
  readonly last?: string;
}

type Subject =
  | { readonly type: 'wal'; readonly path: string; readonly last: number }
  | { readonly type: 'superblock' | 'checkpoint'; readonly path: string }
  | { readonly type: 'op'; readonly op: number; readonly path: string };

export function addInspect(program: Command, context: Context): void {
  const command = withJson(program.command('inspect'))
    .summary('look into a data directory')
    .description(
      "Shows what lies in a node's data directory: `wal` a line an op, `superblock` what the replica must never forget,\n" +
        '`op N` one prepare with its commands, `checkpoint` its checkpoints. Reads only; a node may be running on it.',
    )
    .usage('[options] wal|superblock|checkpoint|op N <dir>')
    .argument('<what>', 'wal, superblock, checkpoint or op')
    .argument('<rest...>', 'for op its number, then the data directory')
    .option('--last <n>', 'of wal: only the last n ops (default: 50; all with --json)')
    .action(async (what: string, rest: string[], flags: Flags) =>
      show(context, parseSubject(context, what, rest, flags), flags),
    );
  examples(command, [
    ['what a node has in its log', 'kimberlite inspect wal .kimberlite/node-0'],
    ['the commands of op 12', 'kimberlite inspect op 12 .kimberlite/node-0'],
    ['its view, log view and commit number', 'kimberlite inspect superblock .kimberlite/node-0'],
  ]);
}

function parseSubject(context: Context, what: string, rest: readonly string[], flags: Flags): Subject {
  const wanted = what === 'op' ? 2 : 1;
  const path = resolve(context.directory, rest.at(-1) ?? '');
  if (rest.length !== wanted) {
    throw new UsageFailure(`Write it as: kimberlite inspect ${what}${what === 'op' ? ' 12' : ''} .kimberlite/node-0`);
  }
  switch (what) {
    case 'wal':
      return {
        type: 'wal',
        path,
        last: natural('--last', flags.last ?? (flags.json === true ? String(2 ** 48) : '50')),
      };
    case 'superblock':
    case 'checkpoint':
      return { type: what, path };
    case 'op':
      return { type: 'op', path, op: natural('The op', rest[0] ?? '') };
    default:
      throw new UsageFailure(`There is no "${what}" to inspect. Choose wal, superblock, checkpoint or op N.`);
  }
}

function natural(what: string, text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text);
  throw new UsageFailure(`${what} is a number from 1, not "${text}".`);
}

async function show(context: Context, subject: Subject, flags: Flags): Promise<void> {
  switch (subject.type) {
    case 'wal':
      return showWal(context, subject.path, subject.last, flags);
    case 'superblock':
      return showSuperblock(context, subject.path, flags);
    case 'op':
      return showOp(context, subject.path, subject.op, flags);
    case 'checkpoint':
      return showCheckpoints(context, subject.path, flags);
    default:
      return unreachable(subject);
  }
}

async function showCheckpoints(context: Context, path: string, flags: Flags): Promise<void> {
  const found = await withDirectory(path, (options) =>
    completed<readonly CheckpointInspection[]>((done) => inspectCheckpoints(options, done)),
  );
  const rows = found.map(({ op, ref, sizeBytes, problems }) => ({
    op,
    checksum: ref?.checksum ?? null,
    contentBytes: ref?.contentBytes ?? null,
    parts: ref === null ? null : checkpointParts(ref.contentBytes),
    sizeBytes,
    intact: problems.length === 0,
    problems,
  }));
  if (flags.json === true) return printJson(context, { checkpoints: rows });
  const { terminal } = context;
  if (rows.length === 0) return line(terminal.out, 'There are none.');
  const cells = rows.map((row) => [
    String(row.op),
    row.checksum ?? '',
    String(row.contentBytes ?? ''),
    String(row.parts ?? ''),
    row.intact ? 'intact' : terminal.colors.red('damaged'),
  ]);
  line(terminal.out, table(terminal, ['op', 'checksum', 'bytes', 'parts', 'state'], cells));
  for (const { offset, message } of rows.flatMap(({ problems }) => problems)) {
    line(terminal.err, `${terminal.colors.red('✗')} at ${offset}: ${message}`);
  }
}

interface WalRow {
  readonly op: number;
  readonly state: 'intact' | 'damaged';
  readonly view?: number;
  readonly timestamp?: number;
  readonly bytes?: number;
  readonly id?: string;
  readonly parent?: string;
  readonly segment?: number;
  readonly offset?: number;
}

function walRow(op: number, record: HeaderRecord): WalRow {
  if (record.state !== 'header') return { op, state: 'damaged' };
  const { view, timestamp, bodyLengthBytes, id, parent } = record.header;
  const { segment, offset } = record.place;
  return { op, state: 'intact', view, timestamp, bytes: bodyLengthBytes, id, parent, segment, offset };
}

async function showWal(context: Context, path: string, last: number, flags: Flags): Promise<void> {
  const rows: WalRow[] = [];
  await withDirectory(path, (options) =>
    completed<void>((done) => listLog(options, (op, record) => void rows.push(walRow(op, record)), done)),
  );
  const shown = rows.slice(-last);
  if (flags.json === true) return printJson(context, { ops: rows.length, rows: shown });
  const { terminal } = context;
  const cells = shown.map((row) => [
    String(row.op),
    String(row.view ?? ''),
    row.timestamp === undefined ? terminal.colors.red('damaged') : new Date(row.timestamp / 1000).toISOString(),
    String(row.bytes ?? ''),
    (row.id ?? '').slice(0, 12),
    (row.parent ?? '').slice(0, 12),
    row.segment === undefined ? '' : `${row.segment}:${row.offset ?? 0}`,
  ]);
  line(terminal.out, table(terminal, ['op', 'view', 'time', 'bytes', 'id', 'parent', 'segment:offset'], cells));
  line(
    terminal.err,
    terminal.colors.dim(`${rows.length} op(s)${shown.length < rows.length ? `, the last ${shown.length} shown` : ''}`),
  );
}

async function showSuperblock(context: Context, path: string, flags: Flags): Promise<void> {
  const found = await withDirectory(path, (options) =>
    completed<SuperblockInspection>((done) => inspectSuperblock(options, done)),
  );
  if (!found.chosen.ok) throw fail('LogUnreadable', found.chosen.error.message);
  const { cluster, replica, sequence, geometry, payload } = found.chosen.value;
  const durable = decodeDurableState(payload);
  if (!durable.ok) throw fail('LogUnreadable', `The superblock cannot be understood: ${durable.error}.`);
  const { view, logView, commit, checkpoint, suffix } = durable.value;
  const copies = found.copies.map((copy) =>
    copy.state === 'intact' ? { state: 'intact', sequence: copy.superblock.sequence } : copy,
  );
  const entries = suffix.map(({ op, id, header }) => ({ op, id, view: header?.view ?? null }));
  const document = { cluster, replica, sequence, geometry, view, logView, commit, checkpoint, suffix: entries, copies };
  if (flags.json === true) return printJson(context, document);
  const { out } = context.terminal;
  line(out, `cluster     ${cluster}`);
  line(out, `replica     ${replica}`);
  line(out, `view        ${view}   log view ${logView}`);
  line(out, `commit      ${commit}   (at least: as of the last time the superblock was written)`);
  line(out, `checkpoint  ${checkpoint === 0 ? 'none' : checkpoint}`);
  line(out, `sequence    ${sequence}`);
  line(out, `suffix      ${entries.map(({ op, id }) => `${op}:${id === null ? 'blank' : id.slice(0, 8)}`).join(' ')}`);
  for (const [number, copy] of copies.entries()) line(out, `copy ${number}      ${JSON.stringify(copy)}`);
}

async function showOp(context: Context, path: string, op: number, flags: Flags): Promise<void> {
  const found = await withDirectory(path, (options) => completed<OpInspection>((done) => inspectOp(options, op, done)));
  const document = opDocument(found);
  if (flags.json === true) return printJson(context, document);
  line(context.terminal.out, JSON.stringify(document, null, 2));
}

function opDocument({ op, file, offset, header, prepare }: OpInspection): object {
  const record = { op, record: { file, offset, state: header.state } };
  if (header.state !== 'header') {
    throw fail(
      'OpNotFound',
      header.state === 'none'
        ? `Op ${op} is not in this log.`
        : `The header record of op ${op} is damaged (${file} at ${offset}).`,
    );
  }
  const whole = { ...record, header: header.header, place: header.place, intact: prepare !== null };
  if (prepare === null) return whole;
  const batch = decodeBatch(prepareBody(prepare));
  if (!batch.ok) return { ...whole, body: { error: batch.error } };
  const requests = batch.value.map(({ client, session, number, floor, body }) => {
    const commands = body.length === 0 ? null : decodeCommands(body);
    const decoded = commands === null ? [] : commands.ok ? commands.value.map(toJson) : { error: commands.error };
    return { client, session, number, floor, registers: session === 0, commands: decoded };
  });
  return { ...whole, requests };
}
