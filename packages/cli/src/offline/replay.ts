import { type CheckpointRef, checkpointParts, nameContent, pipelineMax, type Prepare } from '@kimberlite/base';
import type { HeaderRecord, InspectOptions, LogReader } from '@kimberlite/log';
import { createReplay, type DurableState, type Replay } from '@kimberlite/vsr';
import { nodeDecodeText } from '@kimberlite/node';
import { createKernelStateMachine } from '@kimberlite/wire';

export interface ReplayedLog {
  /** The op the state hash belongs to: the last that was replayed. */
  readonly op: number;
  readonly stateHash: string;
  readonly position: number;
  /** Why it ended before the end of the log; null when it did not. */
  readonly stopped: { readonly op: number; readonly message: string } | null;
  /** Checkpoints that are not what they should be. */
  readonly checkpoints: readonly CheckpointVerdict[];
  /** Where it ended, to go on from. */
  readonly replay: Replay;
}

export interface CheckpointVerdict {
  readonly op: number;
  readonly message: string;
}

/**
 * Where the log of a directory ends, as a restart would find it (Table D): the ids the superblock keeps, and above them
 * what was prepared in the log view itself. Records of other views there belong to nobody.
 */
export function endOfLog(durable: DurableState, headers: ReadonlyMap<number, HeaderRecord>): number {
  // The log of a replica that fetched its state begins, and may end, at the checkpoint.
  const suffixHead = durable.suffix.reduce<number>((highest, entry) => Math.max(highest, entry.op), durable.checkpoint);
  if (durable.view > durable.logView) return suffixHead;
  let head = suffixHead;
  for (const [op, record] of headers) {
    if (op > head && record.state === 'header' && record.header.view === durable.logView) head = op;
  }
  return head;
}

/** At least this many ops are committed: what the superblock says, and all but a pipeline of the rest (pitfall 55). */
export const committedAtLeast = (durable: DurableState, head: number): number =>
  Math.max(durable.commit, head - pipelineMax, 0);

const readPrepare = (reader: LogReader, op: number): Promise<Prepare | null> =>
  new Promise((resolve) => reader.read(op, resolve));

const readPart = (reader: LogReader, ref: CheckpointRef, part: number): Promise<Uint8Array | null> =>
  new Promise((resolve) => reader.readCheckpointPart(ref, part, resolve));

/** Begins at that checkpoint; says what is wrong with it. */
async function restoreFrom(replay: Replay, reader: LogReader, ref: CheckpointRef): Promise<string | null> {
  const restoring = replay.restore(ref);
  for (let part = 0; part < checkpointParts(ref.contentBytes); part++) {
    const bytes = await readPart(reader, ref, part);
    if (bytes === null) return `part ${part} of it is damaged`;
    const pushed = restoring.push(bytes);
    if (!pushed.ok) return pushed.error;
  }
  const finished = restoring.finish();
  return finished.ok ? null : finished.error;
}

/**
 * The checkpoints a replay may begin at, ascending. Of those on the disk only the ones that the superblock names count:
 * another may be half written, or about to be removed.
 */
const namedIn = (durable: DurableState): readonly CheckpointRef[] => [...durable.checkpoints].reverse();

/**
 * Replays from the oldest checkpoint, or the first op, to `to`, with the code a replica executes committed ops with.
 * Every later checkpoint on the way has to come out the same, byte for byte.
 */
export async function replayLog(options: {
  readonly inspect: InspectOptions;
  readonly reader: LogReader;
  readonly durable: DurableState;
  readonly to: number;
  readonly onProgress?: (op: number) => void;
}): Promise<ReplayedLog> {
  const { inspect, reader, durable, to, onProgress } = options;
  const { cluster } = reader.superblock;
  const { hasher } = inspect;
  const { checkpointInterval, foundedIn } = durable;
  const stateMachine = createKernelStateMachine({ decodeText: nodeDecodeText });
  const replay = createReplay({ cluster, hasher, stateMachine, checkpointInterval, foundedIn });
  const checkpoints: CheckpointVerdict[] = [];
  let stopped: ReplayedLog['stopped'] = null;
  let begun = reader.superblock.trim.op <= 1;
  for (const ref of begun ? [] : namedIn(durable)) {
    const { op } = ref.header;
    if (begun || op > to) break;
    const problem = await restoreFrom(replay, reader, ref);
    if (problem === null) begun = true;
    else checkpoints.push({ op, message: `the checkpoint cannot be read: ${problem}` });
  }
  if (!begun)
    stopped = { op: 1, message: 'the log begins above its first op, and no checkpoint before that can be read' };
  const later = new Map(namedIn(durable).map((ref) => [ref.header.op as number, ref]));
  for (let op = replay.op() + 1; op <= to && stopped === null; op++) {
    const prepare = await readPrepare(reader, op);
    const applied = prepare === null ? null : replay.apply(prepare);
    if (applied === null) stopped = { op, message: `the prepare of op ${op} is missing or damaged` };
    else if (!applied.ok) stopped = { op, message: applied.error };
    const checkpoint = later.get(op);
    if (
      stopped === null &&
      checkpoint !== undefined &&
      nameContent(checkpoint.header, replay.content(), inspect.hasher).checksum !== checkpoint.checksum
    ) {
      checkpoints.push({ op, message: 'a replay of the log makes another checkpoint than the one there is' });
    }
    if (op % 1000 === 0) onProgress?.(op);
  }
  return { op: replay.op(), stateHash: replay.stateHash(), position: replay.position(), stopped, checkpoints, replay };
}
