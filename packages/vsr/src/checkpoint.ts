import {
  assert,
  type CheckpointRef,
  checkpointIntervalBytes,
  op as toOp,
  type PrepareHeader,
  replicasMax,
} from '@kimberlite/base';
import { type CheckpointContent, type CheckpointSchedule, copySessions, encodeContent } from './checkpoint-content.ts';
import { checkpointsKept } from './durable-codec.ts';
import { quarantineForCheckpoint } from './divergence.ts';
import type { CheckpointMark } from './durable-state.ts';
import { isVouchedFor } from './heal.ts';
import { startPrepares } from './pipeline.ts';
import { sizeOf, withReplica } from './quorum.ts';
import { isDurableAt, isVoter, type Replica } from './replica.ts';
import { armTimer, disarm } from './send.ts';
import { flush } from './superblock.ts';
import { jittered } from './timeouts.ts';

// Checkpoints: when one is due, what is kept of them, and how far the log may be let go of.

/** A state kept to be written: the immutable state, and a copy of the sessions. */
export interface Capture<S> extends CheckpointContent<S> {
  readonly header: PrepareHeader;
}

export interface Checkpointing<S> {
  /** Ops between two regular checkpoints. Never changes. */
  readonly interval: number;
  schedule: CheckpointSchedule;
  /** Regular checkpoints that were passed here and are not known stable, ascending. At most `dueMax`. */
  due: readonly number[];
  /** Waits for the one that is being written; a newer one takes its place. */
  waiting: Capture<S> | null;
  writing: Capture<S> | null;
  /** What is being written is of a state that turned out to be wrong: it is of no use. */
  isDiscarded: boolean;
  /** Written, and waits for its op to be durable in the own log too: a log never ends below what the superblock names. */
  written: CheckpointRef | null;
  /** On stable storage, newest first; in the superblock, or about to be. At most `checkpointsKept`. */
  refs: readonly CheckpointRef[];
  /** Checksums of those of `refs` that could not be read. */
  damaged: ReadonlySet<string>;
  stable: CheckpointMark | null;
  /** By replica, the newest first: what it said last of its checkpoints. */
  reported: readonly (readonly CheckpointMark[])[];
  /** What peers fetch just now: it stays until they are done with it, or go on with a newer one. */
  served: readonly { readonly ref: CheckpointRef; readonly atUs: number }[];
  /** This replica's log begins behind this op; what lies below may be gone from the disk. */
  trimmed: number;
  /** The same of the primary's, as it said last. */
  primaryTrimmed: number;
}

/** A primary prepares nothing beyond so many regular checkpoints that no quorum has yet: bounds every log. */
const dueMax = 2;
/** Marks kept of each replica: it may have moved on to the next while another still has the last. */
const marksKept = 2;

export function createCheckpointing<S>(options: {
  readonly interval: number;
  readonly refs: readonly CheckpointRef[];
  readonly stable: CheckpointMark | null;
}): Checkpointing<S> {
  const { interval, refs, stable } = options;
  return {
    interval,
    schedule: { op: 0, bytes: 0 },
    due: [],
    waiting: null,
    writing: null,
    isDiscarded: false,
    written: null,
    refs,
    damaged: new Set(),
    stable,
    served: [],
    reported: Array.from({ length: replicasMax }, () => []),
    trimmed: lowestKept(refs, stable),
    primaryTrimmed: 0,
  };
}

/** A peer that asks for no part for so long has given up, or has all of them. */
const servedUs = 10_000_000;
const servedMax = 2;

const markOfRef = (ref: CheckpointRef): CheckpointMark => ({ op: ref.header.op, checksum: ref.checksum });

/** A checkpoint that a peer may fetch: one that the superblock names, or named when the peer began. */
export function serveRef<S>(r: Replica<S>, checksum: string): CheckpointRef | null {
  const c = r.checkpointing;
  const named = r.durable.checkpoints.find((ref) => ref.checksum === checksum);
  const ref = named ?? c.served.find((known) => known.ref.checksum === checksum)?.ref ?? null;
  if (ref === null) return null;
  c.served = [{ ref, atUs: r.now }, ...c.served.filter((known) => known.ref.checksum !== checksum)].slice(0, servedMax);
  return ref;
}

/** What this replica says of its newest checkpoint: nothing while it cannot read it, or fetches another. */
export const reportedMark = <S>(r: Replica<S>): CheckpointMark | null => {
  const mark = ownMark(r);
  const counts = mark !== null && r.syncing === null && !r.checkpointing.damaged.has(mark.checksum);
  return counts && r.divergence.quarantine === null ? mark : null;
};

/** The newest checkpoint that is durable and named in the superblock. */
export const ownMark = <S>(r: Replica<S>): CheckpointMark | null => {
  const [newest] = r.durable.checkpoints;
  return newest === undefined ? null : markOfRef(newest);
};

/** After an op was applied: a checkpoint at fixed distances, and where the state machine asked for one. */
export function onCheckpointOp<S>(r: Replica<S>, header: PrepareHeader, extra: boolean): void {
  const c = r.checkpointing;
  const bytes = c.schedule.bytes + header.bodyLengthBytes;
  const due = header.op - c.schedule.op >= c.interval || bytes >= checkpointIntervalBytes;
  c.schedule = due ? { op: header.op, bytes: 0 } : { op: c.schedule.op, bytes };
  if (due && header.op > (c.stable?.op ?? 0)) c.due = [...c.due, header.op].slice(-dueMax);
  if (due || extra) capture(r, header);
}

function capture<S>(r: Replica<S>, header: PrepareHeader): void {
  const c = r.checkpointing;
  const [newest] = c.refs;
  // Passed again while the log is replayed: written again only if what is there is damaged.
  if (newest !== undefined && header.op <= newest.header.op && !isDamagedAt(r, header.op)) return;
  if (c.waiting !== null) r.mark('checkpoint-overtaken');
  const { living, applied: membership } = r.members;
  const { inForce } = r.versions;
  const sessions = copySessions(r.sessions);
  c.waiting = { header, state: r.state, sessions, schedule: c.schedule, living, membership, inForce };
  writeNext(r);
}

const isDamagedAt = <S>(r: Replica<S>, op: number): boolean =>
  r.checkpointing.refs.some((ref) => ref.header.op === op && r.checkpointing.damaged.has(ref.checksum));

function writeNext<S>(r: Replica<S>): void {
  const c = r.checkpointing;
  if (c.writing !== null || c.waiting === null) return;
  const { header, ...content } = c.waiting;
  c.writing = c.waiting;
  c.waiting = null;
  r.out.push({ type: 'write-checkpoint', header, content: encodeContent(content, r.machine) });
}

/** It is on stable storage; null: there was no space for it. */
export function onCheckpointWritten<S>(r: Replica<S>, op: number, ref: CheckpointRef | null): void {
  const c = r.checkpointing;
  const capture = c.writing;
  assert(capture !== null && capture.header.op === op, 'one checkpoint is written at a time');
  c.writing = null;
  if (c.isDiscarded) {
    c.isDiscarded = false;
    trimLog(r, true);
    return writeNext(r);
  }
  if (ref === null) return waitForSpace(r, capture);
  if (isKnown(r, ref)) keepAgain(r, ref);
  else {
    c.written = ref;
    keepWritten(r);
  }
  writeNext(r);
}

/** The state was wrong, and so is everything that has been captured of it and is not on the disk yet. */
export function discardWriting<S>(r: Replica<S>): void {
  const c = r.checkpointing;
  c.waiting = null;
  c.written = null;
  c.due = [];
  c.isDiscarded = c.writing !== null;
}

/** Tried again after a while, or a newer one in its place: the primary may be waiting for just this one. */
function waitForSpace<S>(r: Replica<S>, capture: Capture<S>): void {
  r.mark('checkpoint-without-space');
  r.checkpointing.waiting ??= capture;
  armTimer(r, 'checkpoint', jittered(r, r.timing.checkpointRetryMs));
}

export function onCheckpointTimer<S>(r: Replica<S>): void {
  disarm(r, 'checkpoint');
  writeNext(r);
}

/** Not above the newest there is: written again, or overtaken by one that came from a peer. */
const isKnown = <S>(r: Replica<S>, ref: CheckpointRef): boolean =>
  ref.header.op <= (r.checkpointing.refs[0]?.header.op ?? 0);

function keepAgain<S>(r: Replica<S>, ref: CheckpointRef): void {
  const c = r.checkpointing;
  const same = c.refs.find(({ header }) => header.op === ref.header.op);
  if (same === undefined) return trimLog(r, true);
  if (same.checksum !== ref.checksum) {
    // One of the two is of a wrong state; which one, those who have the same know.
    if (isVouchedFor(r, same)) return quarantineForCheckpoint(r, ref, same.checksum);
    r.mark('diverged-checkpoint-replaced');
    return setRefs(
      r,
      c.refs.map((known) => (known === same ? ref : known)),
    );
  }
  c.damaged = new Set([...c.damaged].filter((checksum) => checksum !== ref.checksum));
  r.mark('damaged-checkpoint-rewritten');
  if (r.durable.quarantined > 0) flush(r);
}

/** Once its op is durable in the own log, which a commit does not need. */
export function keepWritten<S>(r: Replica<S>): void {
  const c = r.checkpointing;
  const ref = c.written;
  if (ref === null || !isDurableAt(r, ref.header.op)) return;
  c.written = null;
  const older = c.refs.find(({ checksum }) => !c.damaged.has(checksum));
  setRefs(r, older === undefined ? [ref] : [ref, older]);
}

/** The superblock names them before anything that they replace is let go of. */
export function setRefs<S>(r: Replica<S>, refs: readonly CheckpointRef[]): void {
  const c = r.checkpointing;
  const [newest] = refs;
  assert(newest !== undefined && refs.length <= checkpointsKept, 'a replica with checkpoints keeps one or two');
  assert(newest.header.op <= r.commit, 'a checkpoint is of committed ops');
  c.refs = refs;
  c.damaged = new Set([...c.damaged].filter((checksum) => refs.some((ref) => ref.checksum === checksum)));
  r.checkpoint = newest.header.op;
  flush(r);
}

/** What the superblock names now counts: a newer checkpoint, or that a quorum has one. */
export function onCheckpointDurable<S>(r: Replica<S>): void {
  report(r, r.self, reportedMark(r));
  trimLog(r, false);
}

/** What a replica says of its newest durable checkpoint. */
export function report<S>(r: Replica<S>, from: number, mark: CheckpointMark | null): void {
  const c = r.checkpointing;
  const before = c.reported[from];
  if (!isVoter(r, from)) return;
  if (mark === null || before === undefined || before[0]?.checksum === mark.checksum) return;
  const kept = [mark, ...before.filter(({ op }) => op < mark.op)].slice(0, marksKept);
  c.reported = c.reported.map((marks, replica) => (replica === from ? kept : marks));
  // The primary hears everybody, and tells the others what it found out.
  noteStable(r, stableMark(r));
}

/** The newest checkpoint that a replication quorum reports alike. */
function stableMark<S>(r: Replica<S>): CheckpointMark | null {
  let best: CheckpointMark | null = null;
  for (const marks of r.checkpointing.reported) {
    for (const mark of marks) {
      if (best !== null && mark.op <= best.op) continue;
      if (sizeOf(whoHas(r, mark)) >= r.quorums.replication) best = mark;
    }
  }
  return best;
}

/** It was fenced off: what it had, nobody has any more. */
export function forgetReported<S>(r: Replica<S>, replica: number): void {
  const c = r.checkpointing;
  c.reported = c.reported.map((marks, i) => (i === replica ? [] : marks));
}

function whoHas<S>(r: Replica<S>, { op, checksum }: CheckpointMark): number {
  let replicas = 0;
  r.checkpointing.reported.forEach((marks, replica) => {
    if (marks.some((mark) => mark.op === op && mark.checksum === checksum)) replicas = withReplica(replicas, replica);
  });
  return replicas;
}

export function noteStable<S>(r: Replica<S>, mark: CheckpointMark | null): void {
  const c = r.checkpointing;
  if (mark === null || mark.op <= (c.stable?.op ?? 0)) return;
  c.stable = mark;
  c.due = c.due.filter((op) => op > mark.op);
  // Durable before anything is let go of for its sake: after a restart the log must not be taken for a longer one.
  flush(r);
  startPrepares(r);
}

/** How far back a log has to reach: to the oldest checkpoint kept, and above what no quorum's checkpoint covers. */
function lowestKept(refs: readonly CheckpointRef[], stable: CheckpointMark | null): number {
  const oldest = refs.at(-1)?.header.op ?? 0;
  return Math.min(oldest, stable?.op ?? 0);
}

/** Lets go of what the superblock no longer names, and of the log below. */
function trimLog<S>(r: Replica<S>, files: boolean): void {
  const c = r.checkpointing;
  // A second checkpoint first: with one alone, damage to it would need a peer.
  const kept = r.durable.checkpoints.length < checkpointsKept ? 0 : lowestKept(r.durable.checkpoints, r.durable.stable);
  // Extra ones must not leave others, who are a little behind, without a log to catch up from.
  const low = Math.min(kept, c.schedule.op);
  if (low <= c.trimmed && !files) return;
  trimTo(r, Math.max(low, c.trimmed));
}

export function trimTo<S>(r: Replica<S>, op: number): void {
  r.checkpointing.trimmed = op;
  for (const damaged of r.damaged) if (damaged <= op) r.damaged.delete(damaged);
  r.mark('log-trimmed');
  r.out.push({ type: 'trim-log', op: toOp(op + 1), keep: wantedRefs(r) });
}

/** Whatever the superblock names, is about to name, a peer is sending, or is being sent to one. Kept by its op. */
function wantedRefs<S>(r: Replica<S>): readonly CheckpointRef[] {
  const { refs, written, writing, served } = r.checkpointing;
  const target = r.syncing?.target ?? null;
  const wanted = new Map<string, CheckpointRef>();
  const recent = served.filter(({ atUs }) => r.now - atUs < servedUs).map(({ ref }) => ref);
  for (const ref of [...r.durable.checkpoints, ...refs, ...recent, written, target]) {
    if (ref !== null) wanted.set(ref.checksum, ref);
  }
  // It may have its name already, and this replica has not been told.
  if (writing !== null) wanted.set('', { header: writing.header, contentBytes: 0, checksum: writing.header.id });
  return [...wanted.values()];
}

/** Too many regular checkpoints have no quorum yet: the logs would grow beyond their bound. */
export const checkpointsLag = <S>(r: Replica<S>): boolean => r.checkpointing.due.length >= dueMax;
