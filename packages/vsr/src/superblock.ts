import { assert, op as toOp, view as toView } from '@kimberlite/base';
import { onCheckpointDurable } from './checkpoint.ts';
import type { DurableState } from './durable-state.ts';
import { quarantinedOp } from './heal.ts';
import { writeWaiting } from './log-writes.ts';
import type { Replica } from './replica.ts';
import { onSyncDurable } from './state-sync.ts';
import { onViewDurable } from './view-change.ts';

// The superblock: one write at a time, and nothing that speaks for a view leaves before that view is in it (pitfalls 4, 21).

/**
 * In the middle of a view the suffix is that of its beginning, and the log on the disk may end below what others have
 * committed: then no more of it is claimed than the checkpoint, whose op is durable here.
 */
const commitClaimed = <S>(r: Replica<S>): number => (r.status === 'normal' ? r.checkpoint : r.commit);

const wanted = <S>(r: Replica<S>): DurableState => ({
  view: toView(r.view),
  logView: toView(r.logView),
  commit: toOp(Math.max(commitClaimed(r), r.durable.commit)),
  checkpoint: toOp(r.checkpoint),
  suffix: r.suffix,
  checkpoints: r.checkpointing.refs,
  stable: r.checkpointing.stable,
  checkpointInterval: r.checkpointing.interval,
  incarnation: r.members.incarnation,
  replaced: r.durable.replaced && r.checkpointing.refs.length === 0,
  membership: r.group.epoch === 0 ? null : { group: r.group, boundary: r.boundary },
  quarantined: quarantinedOp(r),
  foundedIn: r.durable.foundedIn,
  versionInForce: Math.max(r.versions.inForce, r.durable.versionInForce),
});

/** Writes view, log view and suffix as they are now, as soon as the write in flight is done. */
export function flush<S>(r: Replica<S>): void {
  if (r.flushing !== null) {
    r.flushWanted = true;
    return;
  }
  const state = wanted(r);
  const { durable } = r;
  assert(
    state.view >= durable.view && state.logView >= durable.logView && state.commit >= durable.commit,
    'view, log view and commit number never go back in the superblock (pitfall 3)',
  );
  assert(state.checkpoint >= durable.checkpoint, 'nor does the checkpoint');
  r.flushSequence++;
  r.flushWanted = false;
  r.flushing = { sequence: r.flushSequence, state };
  r.out.push({ type: 'flush-to-disk', sequence: r.flushSequence, state });
}

export function onSuperblockWritten<S>(r: Replica<S>, sequence: number): void {
  if (r.flushing === null || r.flushing.sequence !== sequence) return;
  const { checkpoint, stable } = r.durable;
  r.durable = r.flushing.state;
  r.flushing = null;
  if (r.flushWanted) flush(r);
  writeWaiting(r);
  if (r.durable.checkpoint > checkpoint || r.durable.stable !== stable) onCheckpointDurable(r);
  onSyncDurable(r);
  onViewDurable(r);
}
