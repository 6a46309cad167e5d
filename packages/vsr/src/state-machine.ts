import type { Checksum, ClientId, Op, Result, SessionNumber, Timestamp } from '@kimberlite/base';

/** One request of a committed op, as the state machine sees it. */
export interface AppliedRequest {
  readonly op: Op;
  readonly timestamp: Timestamp;
  readonly client: ClientId;
  readonly session: SessionNumber;
  /** Of the body. */
  readonly checksum: Checksum;
  readonly body: Uint8Array;
}

export interface Applied<State> {
  readonly state: State;
  /** Kept in the session table by every replica, sent by the primary. */
  readonly reply: Uint8Array;
  /** Handed on to the host unread, in order. */
  readonly effects: readonly unknown[];
  /** The op it is part of becomes an extra checkpoint op. */
  readonly checkpoint?: true;
}

/** Puts a state together from bytes that come in pieces. Total: what is damaged is an error. */
export interface StateDecoder<State> {
  /** The next bytes, which are not kept. After an error every call gives it again. */
  readonly push: (bytes: Uint8Array) => Result<void, string>;
  /** Says that all bytes have come; the decoder is of no use afterwards. */
  readonly finish: () => Result<State, string>;
}

/** Looks through a state for damage, a slice a call, and begins again at the end. */
export interface StateAuditor<State> {
  /** The next slice of the state, which may have moved on since the last. Takes about a millisecond at most. */
  readonly next: (state: State) => AuditStep;
}

export type AuditStep =
  | { readonly type: 'more' }
  /** All of it has been looked at since the last time this was said. */
  | { readonly type: 'whole' }
  /** What is there is not what was put there. `where` is for people. */
  | { readonly type: 'damaged'; readonly where: string };

/**
 * The replicated state machine, over bytes. Deterministic; total on any body; the old state stays valid and
 * unchanged, so a replica can be cloned and a query answered from an earlier state at no cost.
 */
export interface StateMachine<State> {
  readonly initial: () => State;
  readonly apply: (state: State, request: AppliedRequest) => Applied<State>;
  /** Read only and total: a bad query is an error inside the answer. */
  readonly query: (state: State, body: Uint8Array) => Uint8Array;
  /** Position of the last command applied. */
  readonly position: (state: State) => number;
  /** Hex digest of the state, maintained incrementally; equal on all replicas at equal ops. */
  readonly stateHash: (state: State) => string;
  /** Canonical bytes of the state, drawn lazily; equal states give equal bytes. */
  readonly encode: (state: State) => Iterable<Uint8Array>;
  /** Gives a state back from what `encode` wrote, in pieces of any size. Total. */
  readonly decoder: () => StateDecoder<State>;
  /** Left out: this kind of state has nothing to tell damage by. */
  readonly auditor?: () => StateAuditor<State>;
}
