import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { type LogReader, openLogReader } from '@kimberlite/log';
import { formatRestored, type NodeConfig, StartError } from '@kimberlite/node';
import { decodeDurableState } from '@kimberlite/vsr';
import type { Command } from 'commander';
import { type Context, examples, printJson, withJson } from '../context.ts';
import { fail } from '../failure.ts';
import { configFrom, type NodeFlags } from '../node-process.ts';
import { completed, withDirectory } from '../offline/directory.ts';
import { committedAtLeast, endOfLog, replayLog } from '../offline/replay.ts';
import { line } from '../terminal.ts';
import { withConfigFlags } from './start.ts';

export function addRestore(program: Command, context: Context): void {
  const command = withConfigFlags(withJson(program.command('restore')))
    .summary('begin a new cluster with a backup')
    .description(
      'Prepares the data directory of one node of a new cluster, which goes on from a backup instead of from nothing. Run it\n' +
        'once for each node, with the same backup, then start them all. The cluster is another one: it has a clusterId of its\n' +
        'own, so that clients of the old one, which may remember what the backup does not have, are refused.',
    )
    .argument('<backup>', 'what `kimberlite backup` made, or the data directory of a node that does not run')
    .action((path: string, flags: NodeFlags & { json?: boolean }) => restore(context, path, flags));
  examples(command, [
    ['a new cluster of three, each on its own machine', 'kimberlite restore backup-today --config node-0.yaml'],
    ['a clusterId for it', `node -p "crypto.randomBytes(16).toString('hex')"`],
  ]);
}

function expectOther({ clusterId, dataDir }: NodeConfig, old: string): void {
  if (clusterId === old) {
    throw fail(
      'SameCluster',
      `The backup is of cluster ${old}, and so is the configuration.`,
      'Give the new cluster a clusterId of its own: what the backup lacks may have been acknowledged under the old one.',
    );
  }
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    throw fail('DirectoryNotEmpty', `${dataDir} is not empty.`, 'Name another dataDir, or move this one away.');
  }
}

async function restore(context: Context, path: string, flags: NodeFlags & { json?: boolean }): Promise<void> {
  const { config } = configFrom(context, flags);
  const { dataDir, replica, clusterId } = config;
  const restored = await withDirectory(resolve(context.directory, path), async (inspect) => {
    const reader = await completed<LogReader>((done) => openLogReader(inspect, done));
    expectOther(config, reader.superblock.cluster);
    const durable = decodeDurableState(reader.superblock.payload);
    if (!durable.ok) throw fail('LogUnreadable', `The superblock cannot be understood: ${durable.error}.`);
    // All that this node held: what was acknowledged, and perhaps the last ops of which nobody was told anything yet.
    const to = endOfLog(durable.value, reader.headers);
    const { stopped, checkpoints, replay } = await replayLog({ inspect, reader, durable: durable.value, to });
    // An op without a trace was never complete here, so this node has never acknowledged it.
    const isLost = stopped !== null && [...reader.headers.keys()].some((op) => op >= stopped.op);
    const isMissing = stopped !== null && stopped.op <= committedAtLeast(durable.value, to);
    const problem = isLost || isMissing ? stopped : checkpoints[0];
    if (problem !== undefined) {
      throw fail(
        'BackupDamaged',
        `op ${problem.op}: ${problem.message}`,
        'Run `kimberlite verify` on it, and use another.',
      );
    }
    if (replay.op() === 0) throw fail('BackupEmpty', 'Nothing was ever written to it.', 'Use `kimberlite format`.');
    await formatRestored(config, replay.foundation(clusterId)).catch((error: unknown) => {
      throw error instanceof StartError ? fail('CannotRestore', error.message) : error;
    });
    return { op: replay.op(), position: replay.position(), stateHash: replay.stateHash() };
  });
  if (flags.json === true) return printJson(context, { ok: true, dataDir, clusterId, replica, ...restored });
  const { op, stateHash } = restored;
  line(
    context.terminal.out,
    `${dataDir} is ready for replica ${replica} of cluster ${clusterId}: op ${op}, state hash ${stateHash}.`,
  );
}
