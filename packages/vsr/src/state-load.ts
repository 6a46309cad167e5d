import { assert, type CheckpointRef, checkpointParts, type PrepareHeader, type ReplicaId } from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { type CheckpointContent, ContentDecoder } from './checkpoint-content.ts';
import { extendLinks } from './repair.ts';
import { isSoleVoter, type Replica } from './replica.ts';
import { send } from './send.ts';
import type { StateDecoder } from './state-machine.ts';
import { putInForce } from './upgrade.ts';
import { beginSync, onContentDamaged, onContentLoaded } from './state-sync.ts';

// Reading a checkpoint back from the own disk: after a boot, and when one has been fetched from peers.

/** A checkpoint that is being read and decoded, part by part, between other events. */
export interface Loading<S> {
  readonly ref: CheckpointRef;
  readonly why: 'boot' | 'sync';
  /** The next part to decode; parts before it are. */
  next: number;
  /** Parts below this have been asked for. */
  asked: number;
  /** Read before their turn. */
  readonly early: Map<number, Uint8Array>;
  readonly decoder: StateDecoder<CheckpointContent<S>>;
}

/** Parts read ahead of the one that is decoded. */
const readAheadMax = 3;

export function beginLoading<S>(r: Replica<S>, ref: CheckpointRef, why: 'boot' | 'sync'): void {
  r.loading = { ref, why, next: 0, asked: 0, early: new Map(), decoder: new ContentDecoder(r.machine) };
  readAhead(r, r.loading);
}

function readAhead<S>(r: Replica<S>, loading: Loading<S>): void {
  const { ref } = loading;
  const end = Math.min(checkpointParts(ref.contentBytes), loading.next + readAheadMax);
  for (; loading.asked < end; loading.asked++) {
    r.out.push({ type: 'read-checkpoint-part', ref, part: loading.asked, to: null });
  }
}

export function onCheckpointPartRead<S>(
  r: Replica<S>,
  event: {
    readonly ref: CheckpointRef;
    readonly part: number;
    readonly to: ReplicaId | null;
    readonly bytes: Uint8Array | null;
  },
): void {
  const { ref, part, to, bytes } = event;
  if (bytes === null) noteDamage(r, ref);
  if (to !== null) {
    return send(r, to, { type: 'checkpoint-part', from: r.self, checksum: ref.checksum, part, bytes });
  }
  const { loading } = r;
  if (loading === null || loading.ref.checksum !== ref.checksum) return;
  if (bytes === null) return fail(r, loading);
  loading.early.set(part, bytes);
  decodeReady(r, loading);
}

export function noteDamage<S>(r: Replica<S>, { checksum }: CheckpointRef): void {
  const c = r.checkpointing;
  if (!c.refs.some((ref) => ref.checksum === checksum)) return;
  r.mark('checkpoint-damaged');
  c.damaged = new Set([...c.damaged, checksum]);
}

/** One part an event: each costs a few milliseconds. */
function decodeReady<S>(r: Replica<S>, loading: Loading<S>): void {
  for (;;) {
    const bytes = loading.early.get(loading.next);
    if (bytes === undefined) break;
    loading.early.delete(loading.next);
    loading.next += 1;
    // A checkpoint that is read counts as progress of a primary that cannot serve yet.
    r.progress = { applied: r.applied, atUs: r.now };
    if (!loading.decoder.push(bytes).ok) return fail(r, loading);
  }
  if (loading.next < checkpointParts(loading.ref.contentBytes)) return readAhead(r, loading);
  const content = loading.decoder.finish();
  if (!content.ok) return fail(r, loading);
  r.loading = null;
  if (loading.why === 'sync') return onContentLoaded(r, loading.ref, content.value);
  adopt(r, loading.ref, content.value);
  advanceApply(r);
}

/** The state at `ref`: everything above it is applied from the log. */
export function adopt<S>(r: Replica<S>, ref: CheckpointRef, content: CheckpointContent<S>): void {
  const { header } = ref;
  putInForce(r, content.inForce);
  r.state = content.state;
  r.sessions = new Map([...content.sessions]);
  r.outcomeBytes = 0;
  for (const { outcomeBytes } of r.sessions.values()) r.outcomeBytes += outcomeBytes;
  r.checkpointing.schedule = content.schedule;
  r.members.living = r.members.living.map((known, replica) => Math.max(known, content.living[replica] ?? 0));
  r.members.applied = content.membership;
  // Taken at the last op of an epoch, which is then never applied here.
  if (content.membership !== null && content.membership.group.epoch > r.group.epoch) {
    r.members.next = content.membership;
  }
  r.applied = header.op;
  r.appliedId = header.id;
  r.appliedTimestamp = header.timestamp;
  r.stateLoaded = true;
}

/** The newest checkpoint cannot be read: the one before it, if the log reaches back so far; or a peer's. */
function fail<S>(r: Replica<S>, loading: Loading<S>): void {
  r.loading = null;
  noteDamage(r, loading.ref);
  if (loading.why === 'sync') return onContentDamaged(r);
  const older = r.checkpointing.refs.find(({ header, checksum }) => {
    return header.op < loading.ref.header.op && !r.checkpointing.damaged.has(checksum);
  });
  if (older !== undefined) {
    r.mark('older-checkpoint-loaded');
    stepBackTo(r, older.header);
    return beginLoading(r, older, 'boot');
  }
  if (isSoleVoter(r)) {
    throw new Error(
      `the checkpoint at op ${loading.ref.header.op} is damaged, and there is neither another nor another replica`,
    );
  }
  beginSync(r);
}

/** The state at `header` is to come: what follows it is applied from there. */
export function stepBackTo<S>(r: Replica<S>, header: PrepareHeader): void {
  assert(!r.stateLoaded, 'there is no state that has come further');
  r.applied = header.op;
  r.appliedId = header.id;
  r.appliedTimestamp = header.timestamp;
  // What was applied and let go of in memory is linked to anew, from the lowest header that is there.
  r.linkedLow = Math.max(r.linkedLow, r.logLow);
  extendLinks(r);
}
