import type { Outcome } from './outcome.ts';
import type { Column, StoredRow } from './value.ts';

// Effects are data. The kernel says what is to be done; the node does it. Which node, and whether again when
// the log is replayed (pitfall 40), is written beside each.

/** One row changed. Every replica; again on replay, idempotent by position. */
export interface WriteToLog {
  readonly type: 'WriteToLog';
  readonly position: number;
  readonly op: number;
  readonly timestamp: number;
  readonly tenantId: number;
  readonly table: string;
  readonly change: 'insert' | 'update' | 'delete';
  /** The table's columns, which say how to read the cells of `before` and `after` (see `showRow`). */
  readonly columns: readonly Column[];
  readonly before: StoredRow | null;
  readonly after: StoredRow | null;
}

/**
 * The state as it is after this op becomes durable as a checkpoint. Every replica; again on replay, idempotent by op: one
 * that is there already is not written again.
 */
export interface FlushToDisk {
  readonly type: 'FlushToDisk';
  readonly op: number;
  readonly position: number;
}

/**
 * What a DeleteFile may name. Never a path: each replica knows which of its files stand for it.
 *   checkpoint/superseded: every checkpoint but the newest that a quorum has
 *   log/superseded: the log that this newest one covers
 *   table/<tenant>/<name>/<created>, tenant/<id>/<created>: whatever is kept of that one beside the state. The position
 *     it was created at tells it from a later one of the same name
 */
export type LogicalName =
  | 'checkpoint/superseded'
  | 'log/superseded'
  | `table/${number}/${string}/${number}`
  | `tenant/${number}/${number}`;

/** What this name stands for is no longer needed. Every replica; again on replay, idempotent. */
export interface DeleteFile {
  readonly type: 'DeleteFile';
  readonly name: LogicalName;
}

/** Kept in the session table by every replica, also on replay; sent by the primary. */
export interface NotifyClient {
  readonly type: 'NotifyClient';
  readonly session: number;
  readonly outcome: Outcome;
}

/** To one session, by whichever node has it connected. Not on replay. */
export interface SendMessage {
  readonly type: 'SendMessage';
  readonly session: number;
  readonly body: Uint8Array;
}

/** To the subscribers of a topic, by whichever node has them connected. Not on replay. */
export interface BroadcastMessage {
  readonly type: 'BroadcastMessage';
  readonly topic: string;
  readonly position: number;
}

/** Armed by the primary; the timer itself is state. */
export interface SetTimer {
  readonly type: 'SetTimer';
  readonly name: string;
  /** Microseconds since 1970. */
  readonly due: number;
}

export interface CancelTimer {
  readonly type: 'CancelTimer';
  readonly name: string;
}

/** Log line, metric and admin API of the primary. Not on replay. */
export interface TriggerAlert {
  readonly type: 'TriggerAlert';
  readonly alert: string;
  readonly message: string;
}

export type Effect =
  | WriteToLog
  | FlushToDisk
  | DeleteFile
  | SendMessage
  | BroadcastMessage
  | SetTimer
  | CancelTimer
  | NotifyClient
  | TriggerAlert;

export type EffectType = Effect['type'];
