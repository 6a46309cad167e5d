import { assert, type CheckpointRef, op as toOp, type Op } from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { discardWriting, setRefs } from './checkpoint.ts';
import { forgetTestimony } from './divergence.ts';
import { sizeOf, withReplica } from './quorum.ts';
import type { Replica } from './replica.ts';
import { disarm } from './send.ts';
import { beginLoading, stepBackTo } from './state-load.ts';
import { beginSync } from './state-sync.ts';

// A diverged replica makes its state anew: from a checkpoint that a quorum vouches for and its own log, as after a boot.
// The log was never in doubt. Its own checkpoints are: what was wrong in memory is wrong in them, whatever the hashes
// said of the ops around. One is good when another replica wrote the very same bytes.

/** Another replica has the same checkpoint, or had it when a quorum did. */
export function isVouchedFor<S>(r: Replica<S>, ref: CheckpointRef): boolean {
  const { stable, reported } = r.checkpointing;
  if (stable?.checksum === ref.checksum) return true;
  let replicas = withReplica(0, r.self);
  r.divergence.testimonies.forEach(({ marks }, replica) => {
    const all = [...marks, ...(reported[replica] ?? [])];
    if (replica !== r.self && all.some(({ checksum }) => checksum === ref.checksum)) {
      replicas = withReplica(replicas, replica);
    }
  });
  return sizeOf(replicas) >= r.quorums.replication;
}

export function heal<S>(r: Replica<S>): void {
  const c = r.checkpointing;
  const trusted = c.refs.find((ref) => !c.damaged.has(ref.checksum) && isVouchedFor(r, ref));
  const inDoubt = c.refs.filter((ref) => ref !== trusted).map(({ checksum }) => checksum);
  discardWriting(r);
  r.replayUntil = Math.max(r.replayUntil, r.applied);
  r.stateLoaded = false;
  r.loading = null;
  r.syncing = null;
  r.report = null;
  disarm(r, 'sync');
  forgetTestimony(r, r.self);
  // Not served, not reported, and written again when the log has been applied so far once more.
  c.damaged = new Set([...c.damaged, ...inDoubt]);
  if (trusted !== undefined) {
    stepBackTo(r, trusted.header);
    return beginLoading(r, trusted, 'boot');
  }
  if (c.refs.length > 0 || r.durable.replaced) return beginSync(r);
  startOver(r);
}

/** It had diverged before the boot: what is committed now is what it has to come to. */
export function healAfterBoot<S>(r: Replica<S>): void {
  const { quarantine } = r.divergence;
  assert(quarantine !== null, 'the superblock says that it had diverged');
  r.divergence = { ...r.divergence, quarantine: { ...quarantine, until: r.commit } };
  heal(r);
}

/** There never was a checkpoint, so the log is all there: from its first op. */
function startOver<S>(r: Replica<S>): void {
  assert(r.checkpointing.trimmed === 0, 'without a checkpoint nothing of the log is let go of');
  r.mark('state-made-from-the-first-op');
  stepBackTo(r, r.root);
  r.state = r.machine.initial();
  r.sessions = new Map();
  r.outcomeBytes = 0;
  r.checkpointing.schedule = { op: 0, bytes: 0 };
  r.members.applied = null;
  r.versions.inForce = r.durable.foundedIn;
  r.stateLoaded = true;
  advanceApply(r);
}

/** All that was applied before is applied again. */
export const isHealed = <S>(r: Replica<S>): boolean => {
  const { quarantine } = r.divergence;
  const isWhole = r.stateLoaded && r.loading === null && r.syncing === null;
  return isWhole && quarantine !== null && !quarantine.isLasting && r.applied >= quarantine.until;
};

/** Of the checkpoints in doubt only the newest stays, until it is written again: the superblock never names an older one. */
export function trustAgain<S>(r: Replica<S>): void {
  const { refs, damaged } = r.checkpointing;
  const [newest, ...older] = refs;
  if (newest === undefined) return;
  setRefs(r, [newest, ...older.filter(({ checksum }) => !damaged.has(checksum))]);
}

/**
 * What the superblock says: not 0 while this replica has diverged, or has a checkpoint of that time. A boot then begins
 * as one that has.
 */
export function quarantinedOp<S>(r: Replica<S>): Op {
  const { refs, damaged } = r.checkpointing;
  const { quarantine } = r.divergence;
  if (quarantine !== null) return toOp(Math.max(1, quarantine.op));
  // It may have ended before a superblock said that it had begun.
  const last = Math.max(r.durable.quarantined, r.divergence.healed?.op ?? 0);
  return toOp(refs.some(({ checksum }) => damaged.has(checksum)) ? last : 0);
}
