import { clockOffsetUs } from './clock.ts';
import type { Quarantine, QuarantineCause } from './divergence.ts';
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
  /** Null while this replica's state is believed. */
  readonly divergence: DivergenceStatus | null;
}

/** Why a replica is quarantined, and how far it has come with making its state anew. */
export interface DivergenceStatus {
  /** no-majority: it stands still, for nobody can say who is right. restart: it had diverged before it booted. */
  readonly cause: QuarantineCause | 'no-majority';
  /** Where it differs, or what was applied when the damage was found. */
  readonly op: number;
  /** The own hash there; what is damaged; or empty. */
  readonly own: string;
  /** What a majority has there; empty where nobody was asked. */
  readonly majority: string;
  /**
   * standing-still: nobody can say who is right. diverged-again: the state came out the same when it was made anew.
   * Nothing can be done about these two without an operator.
   */
  readonly progress: 'standing-still' | 'diverged-again' | 'fetching-checkpoint' | 'reading-checkpoint' | 'replaying';
  /** Applied when it diverged: it is normal again there. */
  readonly untilOp: number;
}

function progressOf<S>(r: Replica<S>, { isLasting }: Quarantine): DivergenceStatus['progress'] {
  if (isLasting) return 'diverged-again';
  if (r.syncing !== null) return 'fetching-checkpoint';
  return r.stateLoaded ? 'replaying' : 'reading-checkpoint';
}

function divergenceStatus<S>(r: Replica<S>): DivergenceStatus | null {
  const { quarantine, dispute } = r.divergence;
  if (quarantine !== null) {
    const { cause, op, own, majority, until } = quarantine;
    return { cause, op, own, majority: majority ?? '', progress: progressOf(r, quarantine), untilOp: until };
  }
  if (dispute === null) return null;
  const { op, own } = dispute;
  return { cause: 'no-majority', op, own, majority: '', progress: 'standing-still', untilOp: r.applied };
}

/** What `status` prints. `quarantined`: whatever else it is, its state is not believed. `recovering`: normal, but still replaying what its log held at the boot. */
export function replicaStatus<S>(r: Replica<S>): ReplicaStatus {
  const behind = !r.stateLoaded || r.syncing !== null || r.applied < r.replayUntil;
  const replaying = r.status === 'normal' && behind;
  const divergence = divergenceStatus(r);
  return {
    status: divergence !== null ? 'quarantined' : replaying ? 'recovering' : r.status,
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
    divergence,
  };
}
