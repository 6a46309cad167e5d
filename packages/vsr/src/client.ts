import type {
  Checksum,
  ClientId,
  Op,
  ReplicaId,
  RequestNumber,
  SessionNumber,
  Timestamp,
  View,
} from '@kimberlite/base';

// What passes between a replica and its clients. The bodies are opaque here.

/** Registers a session when `session` and `number` are 0 and the body is empty. */
export interface ClientRequest {
  readonly client: ClientId;
  readonly session: SessionNumber;
  readonly number: RequestNumber;
  /** The lowest request number whose outcome the client may still ask for. */
  readonly floor: RequestNumber;
  /** Over the body; tells a retry from a different request under the same number. */
  readonly checksum: Checksum;
  readonly body: Uint8Array;
}

/**
 * linearizable: confirmed with a quorum. atLeast: answered by any replica once it has applied that
 * position. local: answered at once by any replica, its staleness reported.
 */
export type ReadLevel =
  | { readonly type: 'linearizable' }
  | { readonly type: 'at-least'; readonly position: number }
  | { readonly type: 'local' };

export interface ClientQuery {
  readonly client: ClientId;
  readonly session: SessionNumber;
  /** The client's own number for this query; the answer carries it. */
  readonly query: number;
  /** The query takes effect after this request of the same session, and before any later one; 0: no such request. */
  readonly after: RequestNumber;
  readonly level: ReadLevel;
  readonly body: Uint8Array;
}

/** Why this transmission was not taken. A refused request was certainly not admitted by this transmission. */
export type RefusalReason =
  | 'not-primary'
  | 'view-change'
  | 'recovering'
  | 'overloaded'
  | 'window-full'
  | 'clock-unsynchronized'
  | 'quarantined'
  | 'stopping'
  | 'unavailable'
  /** The primary's disk has no room. Of requests alone: queries are answered. */
  | 'disk-full'
  | 'invalid';

export interface Refusal {
  readonly reason: RefusalReason;
  readonly retryAfterMs: number;
  /** Durable log view of the refusing replica, and its primary: where to try next. */
  readonly view: View;
  readonly primary: ReplicaId;
  /** What was wrong, for reason `invalid`. */
  readonly message?: string;
}

export type ClientReply =
  | { readonly type: 'registered'; readonly session: SessionNumber }
  | {
      readonly type: 'outcome';
      readonly session: SessionNumber;
      readonly number: RequestNumber;
      readonly op: Op;
      readonly timestamp: Timestamp;
      readonly body: Uint8Array;
    }
  | {
      readonly type: 'refused';
      readonly session: SessionNumber;
      readonly number: RequestNumber;
      readonly refusal: Refusal;
    }
  /** The session is gone; requests in flight have an unknown outcome. */
  | { readonly type: 'evicted'; readonly session: SessionNumber }
  /** The number was used before with another body: a client error. */
  | { readonly type: 'mismatch'; readonly session: SessionNumber; readonly number: RequestNumber }
  | {
      readonly type: 'answer';
      readonly query: number;
      /** The op whose state was read, and that op's timestamp. */
      readonly op: Op;
      readonly timestamp: Timestamp;
      readonly body: Uint8Array;
      /** For level `local`: microseconds since this replica last heard from a primary, or null if it never did. */
      readonly staleForUs?: number | null;
    }
  | { readonly type: 'query-refused'; readonly query: number; readonly refusal: Refusal };
