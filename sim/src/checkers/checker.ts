import type { PrepareHeader } from '@kimberlite/base';
import type { KernelState, Outcome } from '@kimberlite/kernel';
import type { AppliedRequest, Message, Replica } from '@kimberlite/vsr';
import type { Call, History } from '../history.ts';

/** The checkers by name; a failure's `kind` is one of them, or says where else the run broke. */
export type CheckerName =
  | 'one-prepare-per-view'
  | 'agreement'
  | 'state-hash'
  | 'nothing-lost'
  | 'exactly-once'
  | 'timestamps'
  | 'linearizability'
  | 'stale-read'
  | 'issue-order'
  | 'honest-outcomes'
  | 'persistence'
  | 'never-back'
  | 'replay';

export type FailureKind =
  | CheckerName
  | 'liveness'
  | 'hollow'
  | 'fatal'
  | 'replica'
  | 'nondeterminism'
  /** No verdict: the run was told to stop before it had one. */
  | 'undecided';

export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
  readonly atUs: number;
}

/** One request that a replica's state machine executed. */
export interface Execution {
  readonly replica: number;
  readonly request: AppliedRequest;
  readonly commands: readonly unknown[];
  readonly outcomes: readonly Outcome[];
  /** Position and state hash after it. */
  readonly position: number;
  readonly stateHash: string;
}

/** The highest view and log view that were synced in a replica's superblock, read off its disk. */
export interface DurableViews {
  readonly view: number;
  readonly logView: number;
}

/** What the run ended with. */
export interface Ending {
  readonly history: History;
  readonly replicas: readonly Replica<KernelState>[];
}

/** Looks at a run from one side. Each hook is called for everything of its kind, by every replica. */
export interface Checker {
  readonly name: CheckerName;
  /** A message is about to leave. */
  readonly sent?: (replica: number, message: Message, durable: DurableViews) => void;
  readonly executed?: (execution: Execution) => void;
  /** One input was handled. */
  readonly turned?: (replica: number, state: Replica<KernelState>) => void;
  /** The process is gone; a later `turned` is another boot's. */
  readonly down?: (replica: number) => void;
  readonly returned?: (call: Call) => void;
  readonly ended?: (ending: Ending) => void;
}

export type Fail = (kind: FailureKind, message: string) => void;

export const describeHeader = (header: PrepareHeader): string =>
  `op ${header.op} view ${header.view} id ${header.id.slice(0, 8)}`;
