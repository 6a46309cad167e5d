import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { type Context, examples, printJson, withJson } from '../context.ts';
import { fail } from '../failure.ts';
import { line } from '../terminal.ts';
import { verify, type VerifyDocument } from './verify.ts';

/** A node that lets go of old log while it is copied leaves a copy with a hole; then it is copied again. */
const attemptsMax = 5;

/**
 * What names other files before those: the superblock, then checkpoints, then the header records, then the prepares they
 * name. So whatever is named in the copy is in the copy, unless it was let go of meanwhile.
 */
const order = [/^superblock$/, /^checkpoint-/, /^headers-/, /^segment-/] as const;

export function addBackup(program: Command, context: Context): void {
  const command = withJson(program.command('backup'))
    .summary('copy the data of a node, also while it runs')
    .description(
      'Copies the data directory of one node, which may be running, and verifies the copy: every byte is checked and the\n' +
        'log replayed. The backup is what this node held: at least everything that was acknowledged when the copy began, if\n' +
        'the node was up to date. `kimberlite verify` works on a backup; `kimberlite restore` begins a new cluster with it.',
    )
    .argument('<dir>', "a node's data directory")
    .argument('<backup>', 'where to put the copy; must not exist yet')
    .action((from: string, to: string, options: { json?: boolean }) =>
      backup(context, from, to, options.json === true),
    );
  examples(command, [
    ['a node of the local dev cluster', 'kimberlite backup .kimberlite/node-0 backup-today'],
    ['is it whole?', 'kimberlite verify backup-today'],
  ]);
}

async function backup(context: Context, fromPath: string, toPath: string, json: boolean): Promise<void> {
  const from = resolve(context.directory, fromPath);
  const to = resolve(context.directory, toPath);
  if (!existsSync(join(from, 'superblock'))) {
    throw fail('NoSuchDirectory', `${from} is no data directory.`, 'Name one, such as .kimberlite/node-0');
  }
  if (existsSync(to)) throw fail('BackupExists', `${to} exists already.`, 'Name another place.');
  let document: VerifyDocument | null = null;
  for (let attempt = 0; attempt < attemptsMax && document?.ok !== true; attempt++) {
    rmSync(to, { recursive: true, force: true });
    document = copyAll(from, to) ? await verify(context, to, undefined) : null;
  }
  if (document?.ok !== true) {
    rmSync(to, { recursive: true, force: true });
    const problem = document?.problems[0]?.message ?? 'the node changed its files all the while';
    throw fail(
      'BackupFailed',
      `No whole copy could be made: ${problem}.`,
      'Run `kimberlite verify` on the directory itself.',
    );
  }
  const { cluster, replica, committedAtLeast, position, stateHash, stateHashOp } = document;
  if (json)
    return printJson(context, {
      ok: true,
      backup: to,
      cluster,
      replica,
      committedAtLeast,
      position,
      stateHash,
      stateHashOp,
    });
  line(
    context.terminal.out,
    `${to}: replica ${replica} of cluster ${cluster}, to op ${stateHashOp}, state hash ${stateHash}`,
  );
}

/** False when a file went away meanwhile. */
function copyAll(from: string, to: string): boolean {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const pattern of order) {
    for (const file of readdirSync(from)
      .filter((name) => pattern.test(name))
      .sort()) {
      try {
        copyFileSync(join(from, file), join(to, file), constants.COPYFILE_FICLONE);
        sync(join(to, file));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
        throw error;
      }
    }
  }
  sync(to);
  sync(dirname(to));
  return true;
}

/** A backup that a power cut takes away again is none. */
function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
