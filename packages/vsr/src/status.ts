import { clockOffsetUs } from './clock.ts';
import { isPrimary, isVoter, primaryOf, type Replica } from './replica.ts';

export interface ReplicaStatus {
  readonly status: 'normal' | 'view-change' | 'recovering' | 'recovering-head' | 'quarantined';
  /** Null while the replica is not in normal status. */
  readonly role: 'primary' | 'backup' | 'standby' | null;
  /** The durable view, and its primary. */
  readonly view: number;
  readonly primary: number;
  readonly op: number;
  readonly commit: number;
  readonly applied: number;
  readonly checkpoint: number;
  /** Position of the last command applied. */
  readonly position: number;
  /** Hex, of the state at `stateHashOp`: the applied op, or 0 until a checkpoint has been read. */
  readonly stateHash: string;
  readonly stateHashOp: number;
  /** The protocol version in force, as far as this replica knows, and the newest that its release speaks. */
  readonly versionInForce: number;
  readonly versionNewest: number;
  /** Microseconds; null without agreement. */
  readonly clockOffsetUs: number | null;
}

/** What `status` prints. `recovering`: normal, but still replaying what its log held at the boot. */
export function replicaStatus<S>(r: Replica<S>): ReplicaStatus {
  const behind = !r.stateLoaded || r.syncing !== null || r.applied < r.replayUntil;
  const replaying = r.status === 'normal' && behind;
  return {
    status: replaying ? 'recovering' : r.status,
    role: r.status !== 'normal' ? null : isPrimary(r) ? 'primary' : isVoter(r) ? 'backup' : 'standby',
    view: r.durable.view,
    primary: primaryOf(r, r.durable.view),
    op: r.head,
    commit: r.commit,
    applied: r.applied,
    checkpoint: r.durable.checkpoint,
    position: r.machine.position(r.state),
    stateHash: r.machine.stateHash(r.state),
    // While its checkpoint is read the state is still the first one.
    stateHashOp: r.stateLoaded ? r.applied : 0,
    // After a boot the superblock knows before the log has been replayed.
    versionInForce: Math.max(r.versions.inForce, r.durable.versionInForce),
    versionNewest: r.versions.range.newest,
    clockOffsetUs: clockOffsetUs(r),
  };
}
