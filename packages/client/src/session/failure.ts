import type { KernelErrorCode } from '@kimberlite/kernel';

/** What can go wrong besides a rejection by the state machine. */
export type ClientErrorCode =
  /** The call's time was over. */
  | 'Timeout'
  /** The caller's AbortSignal fired. */
  | 'Aborted'
  /** The client, or the primary, has too much to do. */
  | 'Overloaded'
  /** The primary's disk has no room: reads are answered, writes once there is some. */
  | 'DiskFull'
  /** The session fell out of the cluster's table while the call was in flight. */
  | 'SessionEvicted'
  /** The client was closed. */
  | 'Closed'
  /** One command or query is larger than a request may be. */
  | 'RequestTooLarge'
  /** No endpoint answered in time. */
  | 'ConnectFailed'
  /** The other side said something that makes no sense. */
  | 'ProtocolError';

export type ErrorCode = KernelErrorCode | ClientErrorCode;

/** Whether a failed call may still have changed something. Of a query it is always `not-applied`. */
export type CallOutcome = 'not-applied' | 'unknown';

/** A failure as plain data; the shell throws it as a `KimberliteError`. */
export interface CallFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** The same call may succeed later, and calling again cannot apply it twice. */
  readonly retryable: boolean;
  readonly outcome: CallOutcome;
  /** Position of the rejected command. */
  readonly position?: number;
  /** What the state machine says beyond the message, such as `table` or `actualVersion`. */
  readonly details?: Readonly<Record<string, unknown>>;
}

const retryableCodes: ReadonlySet<ClientErrorCode> = new Set(['Timeout', 'Overloaded', 'DiskFull', 'SessionEvicted']);

export const failure = (code: ClientErrorCode, outcome: CallOutcome, message: string): CallFailure => ({
  code,
  message,
  outcome,
  retryable: outcome === 'not-applied' && retryableCodes.has(code),
});

/**
 * What every failed call rejects with. `code` is stable; `outcome` says whether the command certainly was not
 * applied or may have been, and may still be.
 */
export class KimberliteError extends Error {
  override readonly name = 'KimberliteError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly outcome: CallOutcome;
  readonly position: number | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(from: CallFailure) {
    super(from.message);
    this.code = from.code;
    this.retryable = from.retryable;
    this.outcome = from.outcome;
    this.position = from.position ?? null;
    this.details = from.details ?? {};
  }

  /** The form `--json` prints. */
  toJSON(): Readonly<Record<string, unknown>> {
    const { code, message, outcome, retryable } = this;
    return { ...this.details, code, message, outcome, retryable };
  }
}
