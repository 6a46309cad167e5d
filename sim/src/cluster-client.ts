import type { CommandInput, Outcome, Query, QueryAnswer } from '@kimberlite/kernel';

/** What became of a command. `not-applied` is a promise: it is in no log and never will be. */
export type CommandEnd =
  /** `op` is null where the client does not learn it: of a rejection, from the SDK. */
  | { readonly type: 'outcome'; readonly op: number | null; readonly outcome: Outcome }
  | { readonly type: 'not-applied' | 'unknown' };

export type QueryEnd =
  | { readonly type: 'answer'; readonly op: number; readonly answer: QueryAnswer }
  | { readonly type: 'failed' };

/** A client of the simulated cluster, as the workload sees it. Every call ends in exactly one `done`. */
export interface ClusterClient {
  readonly start: () => void;
  /** Calls without an end. */
  readonly inFlight: number;
  readonly submit: (command: CommandInput, done: (end: CommandEnd) => void) => void;
  /** Linearizable. */
  readonly ask: (query: Query, done: (end: QueryEnd) => void) => void;
  /** The process dies: what is in flight is unknown; the next one is another client (pitfall 7). */
  readonly crash: () => void;
  /** After `crash`: a new process. */
  readonly restart: () => void;
  /** Leaves for good; nothing may be in flight. */
  readonly stop: () => void;
}
