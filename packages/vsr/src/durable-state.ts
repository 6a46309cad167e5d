import type { CheckpointRef, Checksum, Op, PrepareHeader, View } from '@kimberlite/base';
import type { Membership } from './group.ts';

/** One id of the suffix as the superblock keeps it. */
export interface DurableSuffixEntry {
  readonly op: Op;
  /** Null: blank. */
  readonly id: Checksum | null;
  readonly header: PrepareHeader | null;
}

/** A checkpoint as messages speak of it: the same op with another checksum is another state. */
export interface CheckpointMark {
  readonly op: Op;
  readonly checksum: Checksum;
}

/** The replica's part of the superblock: what it must never forget. None of its numbers ever goes back. */
export interface DurableState {
  readonly view: View;
  /** Latest view in which this replica's log was settled. */
  readonly logView: View;
  /** Highest op known committed. */
  readonly commit: Op;
  /** Op of the newest durable checkpoint; 0 for none. */
  readonly checkpoint: Op;
  /** Ids of the undecided end: of a settled log as of its installation, of an unsettled one frozen at leaving. Ascending, at most P + 1. */
  readonly suffix: readonly DurableSuffixEntry[];
  /** Durable checkpoints, newest first, at most two; the log reaches back to the last of them. */
  readonly checkpoints: readonly CheckpointRef[];
  /** The newest checkpoint that a replication quorum is known to have alike. Null: none yet. */
  readonly stable: CheckpointMark | null;
  /** Ops between two checkpoints. Fixed at format, the same on all replicas. */
  readonly checkpointInterval: number;
  /** Which of the machines that had this identity: rises when one comes back without its memory (Table H). */
  readonly incarnation: number;
  /** It came back without its memory and has no checkpoint yet: it acknowledges nothing, and applies nothing. */
  readonly replaced: boolean;
  /** Who the cluster is, in the epoch of `view`. Null: as founded. */
  readonly membership: Membership | null;
  /** Op at which it diverged from the majority; its own checkpoints are in doubt until this is 0 again. */
  readonly quarantined: Op;
  /** The protocol version in which the cluster began: that of the log before its first op. */
  readonly foundedIn: number;
  /** The newest version that was in force here: a release without it must not start. Never goes back. */
  readonly versionInForce: number;
}
