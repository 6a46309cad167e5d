import type { ClientId, Hasher, RandomState } from '@kimberlite/base';
import type { Outcome } from '@kimberlite/kernel';
import type { Codec, MemberAddress, TypedAnswer } from '@kimberlite/wire';
import type { CallFailure } from './failure.ts';
import type { ClientTiming } from './limits.ts';

/** Number of a call, chosen by the shell; never used twice. */
export type CallId = number;
/** Number of a connection, chosen by the session; never used twice. */
export type ConnectionNumber = number;

export type Level =
  | { readonly type: 'linearizable' }
  | { readonly type: 'at-least'; readonly position: number }
  | { readonly type: 'local' };

export interface SessionOptions {
  /** `ws://host:port`, at least one. */
  readonly endpoints: readonly string[];
  /** Random, 128 bits, never used by another client or an earlier run of this one (pitfall 7). */
  readonly client: ClientId;
  readonly codec: Codec;
  readonly hasher: Hasher;
  /** For jitter; advanced by the session. */
  readonly random: RandomState;
  readonly timing?: Partial<ClientTiming>;
}

export type SessionInput =
  /** One command, packed by `encodeCommand`. */
  | { readonly type: 'command'; readonly call: CallId; readonly packed: Uint8Array; readonly timeoutMs?: number }
  /** A query, packed by `encodeQuery`. */
  | {
      readonly type: 'query';
      readonly call: CallId;
      readonly packed: Uint8Array;
      readonly level: Level;
      readonly timeoutMs?: number;
    }
  /** The caller no longer wants to wait. */
  | { readonly type: 'abort'; readonly call: CallId }
  /** The end of a turn in which calls were made: what they made may go out. */
  | { readonly type: 'flush' }
  | { readonly type: 'connected'; readonly connection: ConnectionNumber }
  /** Also the answer to a dial that failed. Not after a `disconnect` the session asked for. */
  | { readonly type: 'disconnected'; readonly connection: ConnectionNumber; readonly reason: string }
  | { readonly type: 'frame'; readonly connection: ConnectionNumber; readonly frame: Uint8Array }
  /** Nothing but time has passed. */
  | { readonly type: 'tick' }
  | { readonly type: 'close' };

export type CallResult =
  | { readonly type: 'outcome'; readonly outcome: Extract<Outcome, { ok: true }> }
  | { readonly type: 'answer'; readonly answer: TypedAnswer; readonly op: number; readonly staleForUs: number | null }
  | { readonly type: 'failure'; readonly failure: CallFailure };

export type SessionOutput =
  | { readonly type: 'connect'; readonly connection: ConnectionNumber; readonly endpoint: string }
  | { readonly type: 'disconnect'; readonly connection: ConnectionNumber }
  | { readonly type: 'send'; readonly connection: ConnectionNumber; readonly frame: Uint8Array }
  | { readonly type: 'settled'; readonly call: CallId; readonly result: CallResult }
  /** The first welcome from anybody. */
  | { readonly type: 'welcomed' };

/** What a session knows, for status displays and errors. */
export interface SessionView {
  readonly endpoints: readonly string[];
  readonly members: readonly MemberAddress[];
  /** Endpoint of the connection that requests go to, or null. */
  readonly connectedTo: string | null;
  readonly view: number | null;
  readonly primary: number | null;
  readonly registered: boolean;
  /** Calls that wait or are in flight. */
  readonly pending: number;
  /** The last thing each endpoint that failed said, newest last. */
  readonly troubles: readonly string[];
}

export interface ClientSession {
  /** Takes one input and says what to do; `nowMs` never goes back. */
  readonly step: (input: SessionInput, nowMs: number) => readonly SessionOutput[];
  /** Milliseconds after which a `tick` is due, or null when nothing waits for time. */
  readonly tickInMs: () => number | null;
  readonly look: () => SessionView;
}
