import { type CheckpointRef, checkpointParts, type Checksum, op as toOp, type Prepare } from '@kimberlite/base';
import { report, reportedMark } from './checkpoint.ts';
import type { CheckpointPartMessage } from './message.ts';
import { onUnreadable } from './repair.ts';
import { isSoleVoter, type Replica } from './replica.ts';
import { armTimer, hasPeers, otherReplicas, send } from './send.ts';
import { noteDamage } from './state-load.ts';
import { jittered } from './timeouts.ts';

// What a scrub of the disk found damaged, fetched from peers: prepares that left the memory long ago, and parts of
// checkpoints. None of it is waited for by anybody, so one thing at a time does.

/** A prepare below the memory of the log: its id is what the log on the disk had there. */
interface MendingPrepare {
  readonly id: Checksum;
  readonly sentUs: number;
  readonly attempts: number;
}

interface MendingCheckpoint {
  readonly ref: CheckpointRef;
  /** manifest: awaited from a peer. opening: the disk says which parts are damaged. fetching: one part after another. */
  readonly phase: 'manifest' | 'opening' | 'fetching' | 'storing';
  readonly missing: readonly number[];
  /** Which peer is asked. */
  readonly turn: number;
  readonly failures: number;
  readonly sentUs: number;
}

export interface Mending {
  readonly prepares: ReadonlyMap<number, MendingPrepare>;
  readonly checkpoint: MendingCheckpoint | null;
}

export const nothingMended: Mending = { prepares: new Map(), checkpoint: null };

/** Prepares below the memory that are being fetched or wait for it; what is more is found again by the next scrub. */
const preparesMax = 1024;
/** Asked for at once. */
const flightsMax = 8;
/** Answers that bring nothing, until a checkpoint is left to the next scrub, or to the checkpoint that follows it. */
const failuresMax = 12;

// Prepares.

/** The prepare is not in the log any more. */
export function onDamageFound<S>(r: Replica<S>, op: number, id: Checksum): void {
  if (isSoleVoter(r)) return;
  if (op > r.logLow) return onUnreadable(r, op, id);
  const { prepares } = r.mending;
  // Up to there nothing needs it, and it is about to go.
  if (op <= r.checkpointing.trimmed || prepares.size >= preparesMax) return;
  r.mark('mending-below-memory');
  r.mending = { ...r.mending, prepares: new Map(prepares).set(op, { id, sentUs: 0, attempts: 0 }) };
  fetchMending(r);
}

/** Asks for the first of them. Part of every round of repair. */
export function fetchMending<S>(r: Replica<S>): void {
  if (r.mending.prepares.size === 0) return;
  const prepares = new Map(r.mending.prepares);
  const others = otherReplicas(r);
  let flights = 0;
  for (const [op, { id, sentUs, attempts }] of r.mending.prepares) {
    if (op <= r.checkpointing.trimmed) {
      prepares.delete(op);
      continue;
    }
    if (++flights > flightsMax) break;
    if (attempts > 0 && r.now - sentUs < r.timing.repairTimeoutMs * 1000) continue;
    const peer = others[(op + attempts) % others.length];
    // To the end: one that nobody has must not hold up the others.
    prepares.delete(op);
    prepares.set(op, { id, sentUs: r.now, attempts: attempts + 1 });
    if (peer !== undefined) send(r, peer, { type: 'request-prepare', from: r.self, op: toOp(op), id });
  }
  r.mending = { ...r.mending, prepares };
  armTimer(r, 'repair', jittered(r, r.timing.repairMs));
}

/** True when it was asked for to mend the log below its memory. */
export function takeMended<S>(r: Replica<S>, prepare: Prepare): boolean {
  const { op, id } = prepare.header;
  if (r.mending.prepares.get(op)?.id !== id) return false;
  const prepares = new Map(r.mending.prepares);
  prepares.delete(op);
  r.mending = { ...r.mending, prepares };
  r.out.push({ type: 'write-to-log', prepare });
  fetchMending(r);
  return true;
}

// Checkpoints.

export function onCheckpointDamaged<S>(r: Replica<S>, ref: CheckpointRef): void {
  noteDamage(r, ref);
  const isNamed = r.durable.checkpoints.some(({ checksum }) => checksum === ref.checksum);
  const isBusy = r.syncing !== null || r.loading !== null || r.mending.checkpoint !== null;
  if (!hasPeers(r) || !isNamed || isBusy) return;
  ask(r, { ref, phase: 'manifest', missing: [], turn: r.self, failures: 0, sentUs: r.now });
}

/** Asks the next peer for the manifest, or for the first part that is missing. */
function ask<S>(r: Replica<S>, m: MendingCheckpoint): void {
  const others = otherReplicas(r);
  const peer = others[m.turn % others.length];
  const [missing] = m.missing;
  const part = m.phase === 'manifest' ? checkpointParts(m.ref.contentBytes) : missing;
  if (m.failures >= failuresMax || peer === undefined || part === undefined) return giveUpMending(r);
  r.mending = { ...r.mending, checkpoint: { ...m, sentUs: r.now } };
  send(r, peer, { type: 'request-checkpoint-part', from: r.self, checksum: m.ref.checksum, part });
  armTimer(r, 'sync', jittered(r, r.timing.repairTimeoutMs));
}

export function giveUpMending<S>(r: Replica<S>): void {
  r.mending = { ...r.mending, checkpoint: null };
}

const askAnother = <S>(r: Replica<S>, m: MendingCheckpoint): void =>
  ask(r, { ...m, turn: m.turn + 1, failures: m.failures + 1 });

const mendingOf = <S>(r: Replica<S>, checksum: Checksum): MendingCheckpoint | null =>
  r.mending.checkpoint?.ref.checksum === checksum ? r.mending.checkpoint : null;

export function onMendTimer<S>(r: Replica<S>): void {
  const m = r.mending.checkpoint;
  if (m === null) return;
  const waitsForPeer = m.phase === 'manifest' || m.phase === 'fetching';
  if (waitsForPeer && r.now - m.sentUs >= r.timing.repairTimeoutMs * 1000) return askAnother(r, m);
  armTimer(r, 'sync', jittered(r, r.timing.repairTimeoutMs));
}

export function onMendPart<S>(r: Replica<S>, { checksum, part, bytes }: CheckpointPartMessage): void {
  const m = mendingOf(r, checksum);
  if (m === null || (m.phase !== 'manifest' && m.phase !== 'fetching')) return;
  const isManifest = part === checkpointParts(m.ref.contentBytes);
  if (isManifest !== (m.phase === 'manifest') || (!isManifest && part !== m.missing[0])) return;
  if (bytes === null) return askAnother(r, m);
  r.mending = { ...r.mending, checkpoint: { ...m, phase: isManifest ? 'opening' : 'storing' } };
  if (isManifest) r.out.push({ type: 'receive-checkpoint', ref: m.ref, manifest: bytes });
  else r.out.push({ type: 'store-checkpoint-part', ref: m.ref, part, bytes });
}

export function onMendReceiving<S>(r: Replica<S>, checksum: Checksum, missing: readonly number[] | null): void {
  const m = mendingOf(r, checksum);
  if (m === null || m.phase !== 'opening') return;
  if (missing === null) return askAnother(r, { ...m, phase: 'manifest' });
  if (missing.length === 0) return finish(r, m);
  ask(r, { ...m, phase: 'fetching', missing });
}

export function onMendStored<S>(r: Replica<S>, checksum: Checksum, part: number, stored: boolean): void {
  const m = mendingOf(r, checksum);
  if (m === null || m.phase !== 'storing' || part !== m.missing[0]) return;
  if (!stored) return askAnother(r, { ...m, phase: 'fetching' });
  const missing = m.missing.slice(1);
  if (missing.length === 0) finish(r, m);
  else ask(r, { ...m, phase: 'fetching', missing, failures: 0 });
}

/** Whole again: it is offered and reported. */
function finish<S>(r: Replica<S>, { ref }: MendingCheckpoint): void {
  const c = r.checkpointing;
  r.mark('checkpoint-mended');
  c.damaged = new Set([...c.damaged].filter((checksum) => checksum !== ref.checksum));
  giveUpMending(r);
  report(r, r.self, reportedMark(r));
}
