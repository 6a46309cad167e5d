import { pipelineMax, type Prepare } from '@kimberlite/base';
import type { HeaderRecord, InspectOptions, LogReader } from '@kimberlite/log';
import { createReplay, type DurableState } from '@kimberlite/vsr';
import { createKernelStateMachine } from '@kimberlite/wire';

export interface ReplayedLog {
  /** The op the state hash belongs to: the last that was replayed. */
  readonly op: number;
  readonly stateHash: string;
  readonly position: number;
  /** Why it ended before the end of the log; null when it did not. */
  readonly stopped: { readonly op: number; readonly message: string } | null;
}

/**
 * Where the log of a directory ends, as a restart would find it (Table D): the ids the superblock keeps, and above them
 * what was prepared in the log view itself. Records of other views there belong to nobody.
 */
export function endOfLog(durable: DurableState, headers: ReadonlyMap<number, HeaderRecord>): number {
  const suffixHead = durable.suffix.reduce((highest, entry) => Math.max(highest, entry.op), 0);
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

/** Replays from the first op to `to`, with the code a replica executes committed ops with. */
export async function replayLog(options: {
  readonly inspect: InspectOptions;
  readonly reader: LogReader;
  readonly to: number;
  readonly onProgress?: (op: number) => void;
}): Promise<ReplayedLog> {
  const { inspect, reader, to, onProgress } = options;
  const { cluster } = reader.superblock;
  const replay = createReplay({ cluster, hasher: inspect.hasher, stateMachine: createKernelStateMachine() });
  let stopped: ReplayedLog['stopped'] = null;
  for (let op = 1; op <= to && stopped === null; op++) {
    const prepare = await readPrepare(reader, op);
    const applied = prepare === null ? null : replay.apply(prepare);
    if (applied === null) stopped = { op, message: `the prepare of op ${op} is missing or damaged` };
    else if (!applied.ok) stopped = { op, message: applied.error };
    if (op % 1000 === 0) onProgress?.(op);
  }
  return { op: replay.op(), stateHash: replay.stateHash(), position: replay.position(), stopped };
}
