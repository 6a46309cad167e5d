import { assert } from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { forgetAhead } from './log-writes.ts';
import { sizeOf, withReplica } from './quorum.ts';
import { isDurableAt, isNormalPrimary, type Replica } from './replica.ts';

// Commit numbers: by acks on the primary, by message on backups.

/** Counts an ack of this view for an op above the commit number. */
export function countAck<S>(r: Replica<S>, op: number, replica: number): void {
  if (op <= r.commit || op > r.head) return;
  assert(replica !== r.self || isDurableAt(r, op), 'the own ack counts only when the own write is done (pitfall 20)');
  r.acks.set(op, withReplica(r.acks.get(op) ?? 0, replica));
}

/** Commits in order whatever has a replication quorum of acks of this view (pitfall 15). */
export function commitByAcks<S>(r: Replica<S>): void {
  if (!isNormalPrimary(r)) return;
  let commit = r.commit;
  while (commit < r.head && sizeOf(r.acks.get(commit + 1) ?? 0) >= r.quorums.replication) {
    commit++;
    r.acks.delete(commit);
    r.sent.delete(commit);
  }
  if (commit === r.commit) return;
  r.commit = commit;
  // Something moved: whoever waits now begins to wait now.
  if (r.waitingSinceUs !== null) r.waitingSinceUs = r.now;
  advanceApply(r);
}

/**
 * A backup of this view knows of commits that this primary does not: it heard of them in an earlier view, or fetched a
 * checkpoint above them, and has nothing left to acknowledge below that.
 */
export function commitByBackup<S>(r: Replica<S>, commit: number): void {
  const known = Math.min(commit, r.head);
  if (!isNormalPrimary(r) || known <= r.commit) return;
  r.mark('commit-learnt-from-a-backup');
  for (let op = r.commit + 1; op <= known; op++) {
    r.acks.delete(op);
    r.sent.delete(op);
  }
  r.commit = known;
  advanceApply(r);
}

/** Takes over a commit number that came from the view in which this replica is normal (pitfall 54). */
export function commitByMessage<S>(r: Replica<S>, commit: number): void {
  const known = Math.min(commit, r.head);
  if (known <= r.commit) return;
  const before = r.commit;
  r.commit = known;
  advanceApply(r);
  for (let op = Math.max(before, r.applied) + 1; op <= known; op++) forgetAhead(r, op);
}
