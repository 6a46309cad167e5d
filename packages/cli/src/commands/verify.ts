import { resolve } from 'node:path';
import {
  checkpointFile,
  type LogProblem,
  type LogReader,
  openLogReader,
  type VerifyReport,
  verifyLog,
} from '@kimberlite/log';
import { isDirectoryLocked } from '@kimberlite/node';
import { decodeDurableState } from '@kimberlite/vsr';
import type { Command } from 'commander';
import { type Context, examples, printJson, wholeNumber, withJson } from '../context.ts';
import { fail } from '../failure.ts';
import { completed, withDirectory } from '../offline/directory.ts';
import { committedAtLeast, endOfLog, replayLog } from '../offline/replay.ts';
import { line, type Terminal } from '../terminal.ts';

type Problem = Omit<LogProblem, 'kind'> & {
  readonly kind: LogProblem['kind'] | 'replay' | 'superblock' | 'checkpoint';
};

/** What `verify --json` prints. */
export interface VerifyDocument {
  readonly ok: boolean;
  readonly stateHash: string;
  /** The op whose state that is. */
  readonly stateHashOp: number;
  /** The end of the log: the highest op this replica holds. On a node that was stopped, or is idle, all of it is committed. */
  readonly commit: number;
  /** Of these it is certain from this directory alone; at most a pipeline less than `commit`. */
  readonly committedAtLeast: number;
  readonly position: number;
  readonly cluster: string;
  readonly replica: number;
  readonly view: number;
  /** A node had the directory open: what it wrote meanwhile is not in this. */
  readonly running: boolean;
  /** Writes that were cut off and never acknowledged; the next start clears them. */
  readonly unfinished: number;
  readonly problems: readonly Problem[];
}

export function addVerify(program: Command, context: Context): void {
  const command = withJson(program.command('verify'))
    .summary('check a data directory, byte by byte')
    .description(
      'Checks every byte of every file of a data directory, then replays the log, from the oldest checkpoint on, through the\n' +
        'same state machine the node has. Later checkpoints have to come out the same, byte for byte. The state hash is the one `kimberlite status` shows for that op. Reads only; a node may be running\n' +
        'on the directory. Exit code 1 if anything is wrong.',
    )
    .argument('<dir>', "a node's data directory")
    .option('--op <n>', 'replay to this op only, to compare with a state hash of then', wholeNumber('--op', 0, 2 ** 48))
    .action(async (path: string, options: { json?: boolean; op?: number }) => {
      const document = await verify(context, resolve(context.directory, path), options.op);
      if (options.json === true) printJson(context, document);
      else printVerdict(context.terminal, document);
      process.exitCode = document.ok ? 0 : 1;
    });
  examples(command, [
    ['a node of the local dev cluster', 'kimberlite verify .kimberlite/node-0'],
    ['compare with the running node', `kimberlite verify .kimberlite/node-0 --json | jq '[.stateHashOp, .stateHash]'`],
  ]);
}

export async function verify(context: Context, path: string, toOp: number | undefined): Promise<VerifyDocument> {
  return await withDirectory(path, async (inspect) => {
    const running = await isDirectoryLocked(path);
    const reader = await completed<LogReader>((done) => openLogReader(inspect, done));
    const durable = decodeDurableState(reader.superblock.payload);
    if (!durable.ok) throw fail('LogUnreadable', `The superblock cannot be understood: ${durable.error}.`);
    const head = endOfLog(durable.value, reader.headers);
    const certain = committedAtLeast(durable.value, head);
    const report = await completed<VerifyReport>((done) => verifyLog({ ...inspect, running, chainTo: certain }, done));
    const { terminal } = context;
    const onProgress = (op: number): void => terminal.err(`\r\u001b[Kreplaying op ${op} of ${head}`);
    const to = Math.min(toOp ?? head, head);
    const replayed = await replayLog({
      inspect,
      reader,
      durable: durable.value,
      to,
      ...(terminal.interactive ? { onProgress } : {}),
    });
    if (terminal.interactive) terminal.err('\r\u001b[K');
    const problems: Problem[] = [...report.problems];
    const { stopped } = replayed;
    for (const { op, message } of replayed.checkpoints) {
      if (!problems.some((other) => other.op === op)) {
        problems.push({ file: checkpointFile(op), offset: 0, op, kind: 'checkpoint', message });
      }
    }
    // Above what is certainly committed an op may be missing here: it is fetched from the others, or was never needed.
    if (stopped !== null && stopped.op <= certain && !problems.some(({ op }) => op === stopped.op)) {
      problems.push({ file: '', offset: 0, op: stopped.op, kind: 'replay', message: stopped.message });
    }
    return {
      ok: problems.length === 0,
      stateHash: replayed.stateHash,
      stateHashOp: replayed.op,
      commit: stopped === null ? head : replayed.op,
      committedAtLeast: certain,
      position: replayed.position,
      cluster: reader.superblock.cluster,
      replica: reader.superblock.replica,
      view: durable.value.view,
      running,
      unfinished: report.unfinished.length,
      problems,
    };
  });
}

const shownMax = 50;

function printVerdict(terminal: Terminal, d: VerifyDocument): void {
  const { colors } = terminal;
  const beside = d.running ? ' (a node is running on it)' : '';
  line(terminal.out, `replica ${d.replica} of cluster ${d.cluster}, view ${d.view}${beside}`);
  line(terminal.out, `replayed to op ${d.stateHashOp} (position ${d.position}), state hash ${d.stateHash}`);
  if (d.unfinished > 0)
    line(terminal.out, `${d.unfinished} unfinished write(s) at the end: never acknowledged, cleared by the next start`);
  for (const { file, offset, op, kind, message } of d.problems.slice(0, shownMax)) {
    const where = file === '' ? '' : ` ${file} at ${offset}`;
    line(terminal.out, `${colors.red('✗')} ${kind}${where}${op === undefined ? '' : ` (op ${op})`}: ${message}`);
  }
  if (d.problems.length > shownMax) line(terminal.out, `… and ${d.problems.length - shownMax} more (--json has all)`);
  if (d.ok) line(terminal.out, colors.green('✓ Everything is whole.'));
  else
    line(
      terminal.out,
      colors.red(
        `${d.problems.length} problem(s). Damaged prepares are repaired from the other replicas when the node runs.`,
      ),
    );
}
