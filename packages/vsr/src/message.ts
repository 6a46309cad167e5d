import type { CheckpointRef, Checksum, Op, Prepare, PrepareHeader, ReplicaId, Timestamp, View } from '@kimberlite/base';
import type { CheckpointMark } from './durable-state.ts';
import type { Membership } from './group.ts';

// Messages between replicas. `view` is always the sender's durable view, except in repair messages,
// which carry none: a prepare is asked for and accepted by (op, id) alone.

/** What a replica's state was after an op that is a multiple of `stateHashInterval`. */
export interface StateReport {
  readonly op: Op;
  /** Of the state machine. */
  readonly hash: string;
  /** Of some of the sessions: the same ones on every replica. */
  readonly sessions: Checksum;
}

/** One op of the undecided end of a log, as a do_view_change tells it (Table A). */
export interface SuffixMark {
  readonly op: Op;
  /** Null: blank. */
  readonly id: Checksum | null;
  /** The header with that id, where the sender has it. */
  readonly header: PrepareHeader | null;
  /** The prepare with this id is durable here, or about to be. */
  readonly present: boolean;
  /** No ack of it from here counts, or can still be sent, below the new view. */
  readonly nack: boolean;
}

interface Envelope {
  readonly from: ReplicaId;
  readonly view: View;
}

export interface PrepareMessage extends Envelope {
  readonly type: 'prepare';
  readonly commit: Op;
  /** Read confirmation round the primary has started last. */
  readonly round: number;
  readonly prepare: Prepare;
}

export interface PrepareOkMessage extends Envelope {
  readonly type: 'prepare-ok';
  readonly op: Op;
  readonly id: Checksum;
  readonly round: number;
  readonly checkpoint: Op;
  readonly report: StateReport | null;
}

export interface HeartbeatMessage extends Envelope {
  readonly type: 'heartbeat';
  /** Rises with every heartbeat of this primary in this view: a replayed one counts for nothing. */
  readonly number: number;
  readonly commit: Op;
  readonly round: number;
  readonly report: StateReport | null;
  /** The newest checkpoint that a replication quorum has alike, as far as the primary knows. */
  readonly stable: CheckpointMark | null;
  /** The primary's log begins behind this op. */
  readonly trimmed: Op;
}

export interface HeartbeatOkMessage extends Envelope {
  readonly type: 'heartbeat-ok';
  readonly number: number;
  readonly round: number;
  readonly commit: Op;
  /** Highest op executed here; 0 while a checkpoint is fetched. */
  readonly applied: Op;
  /** The newest durable one. Null: none, or it cannot be read, or another is being fetched. */
  readonly checkpoint: CheckpointMark | null;
  readonly report: StateReport | null;
  /** The newest version that the sender's release speaks. */
  readonly newest: number;
}

/** Clock sampling between any two replicas; and what each has to say of its state, whatever its view and status. */
export interface PingMessage {
  readonly type: 'ping';
  readonly from: ReplicaId;
  /** The sender's monotonic clock, microseconds. */
  readonly sentAtUs: number;
  /** Descending by op; at most `reportsMax`. */
  readonly reports: readonly StateReport[];
  /** The newest durable checkpoint. Null: none, or it is in doubt. */
  readonly checkpoint: CheckpointMark | null;
}

export interface PongMessage {
  readonly type: 'pong';
  readonly from: ReplicaId;
  /** Echo of the ping's `sentAtUs`. */
  readonly sentAtUs: number;
  /** The answering replica's wall clock, microseconds since 1970. */
  readonly realtimeUs: number;
}

/** "I am durably in `view` and want to leave it." */
export interface StartViewChangeMessage extends Envelope {
  readonly type: 'start-view-change';
}

export interface DoViewChangeMessage extends Envelope {
  readonly type: 'do-view-change';
  readonly logView: View;
  readonly commit: Op;
  readonly checkpoint: Op;
  readonly head: Op;
  /** The greatest timestamp of any prepare the sender has seen, truncated ones included. */
  readonly timestamp: Timestamp;
  /** Ascending by op, without gaps, ending at `head`. */
  readonly suffix: readonly SuffixMark[];
}

export interface StartViewMessage extends Envelope {
  readonly type: 'start-view';
  /** Headers of the undecided end, ascending, linked, ending at the head. Empty only for an empty log. */
  readonly suffix: readonly PrepareHeader[];
  readonly commit: Op;
  readonly checkpoint: Op;
  /** Echo of a request-start-view's nonce; empty in a broadcast. */
  readonly nonce: string;
}

export interface RequestStartViewMessage extends Envelope {
  readonly type: 'request-start-view';
  /** Drawn anew at every boot. */
  readonly nonce: string;
}

/** Asks for headers downwards from a known one: `high` is trusted by the asker as (op, id). */
export interface RequestHeadersMessage {
  readonly type: 'request-headers';
  readonly from: ReplicaId;
  readonly low: Op;
  readonly high: Op;
  readonly highId: Checksum;
}

/** Descending by op, each linked to the next by its parent. */
export interface HeadersMessage {
  readonly type: 'headers';
  readonly from: ReplicaId;
  readonly headers: readonly PrepareHeader[];
}

export interface RequestPrepareMessage {
  readonly type: 'request-prepare';
  readonly from: ReplicaId;
  readonly op: Op;
  readonly id: Checksum;
}

/** The answer to request-prepare. Not a `prepare`: it speaks for no view. */
export interface RepairPrepareMessage {
  readonly type: 'repair-prepare';
  readonly from: ReplicaId;
  readonly prepare: Prepare;
}

/** Asks everybody for the checkpoints they have. */
export interface RequestCheckpointMessage {
  readonly type: 'request-checkpoint';
  readonly from: ReplicaId;
}

export interface CheckpointOffer {
  readonly ref: CheckpointRef;
  /** The sender knows that a replication quorum had this one. */
  readonly stable: boolean;
}

export interface CheckpointOfferMessage {
  readonly type: 'checkpoint-offer';
  readonly from: ReplicaId;
  /** Durable and, as far as known, intact; newest first. */
  readonly offers: readonly CheckpointOffer[];
}

/** The part behind the last is the manifest. */
export interface RequestCheckpointPartMessage {
  readonly type: 'request-checkpoint-part';
  readonly from: ReplicaId;
  readonly checksum: Checksum;
  readonly part: number;
}

export interface CheckpointPartMessage {
  readonly type: 'checkpoint-part';
  readonly from: ReplicaId;
  readonly checksum: Checksum;
  readonly part: number;
  /** Null: not here, or no longer intact. */
  readonly bytes: Uint8Array | null;
}

/** The epoch that the receiver spoke for is over: this is the group, and the op that made it, which is committed. */
export interface NewEpochMessage {
  readonly type: 'new-epoch';
  readonly from: ReplicaId;
  readonly membership: Membership;
}

export type Message =
  | PrepareMessage
  | PrepareOkMessage
  | HeartbeatMessage
  | HeartbeatOkMessage
  | PingMessage
  | PongMessage
  | StartViewChangeMessage
  | DoViewChangeMessage
  | StartViewMessage
  | RequestStartViewMessage
  | RequestHeadersMessage
  | HeadersMessage
  | RequestPrepareMessage
  | RepairPrepareMessage
  | RequestCheckpointMessage
  | CheckpointOfferMessage
  | RequestCheckpointPartMessage
  | CheckpointPartMessage
  | NewEpochMessage;

export type MessageType = Message['type'];
