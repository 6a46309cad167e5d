import type { Checksum, ClusterId, Hasher, PrepareHeader } from '@kimberlite/base';
import type { KernelState } from '@kimberlite/kernel';
import type { Applied, AppliedRequest, Effect, Membership, Message, Replica } from '@kimberlite/vsr';
import type { ClientMessage, ServerMessage } from '@kimberlite/wire';
import type { Flips } from '../flips.ts';
import type { Call, History } from '../history.ts';
import type { HeaderClaim, Platter, SegmentRecord } from './platters.ts';

/** The checkers by name; a failure's `kind` is one of them, or says where else the run broke. */
export type CheckerName =
  | 'one-prepare-per-view'
  | 'identity'
  | 'commit-quorum'
  | 'agreement'
  | 'state-hash'
  | 'sessions'
  | 'nothing-lost'
  | 'exactly-once'
  | 'idempotency'
  | 'replies'
  | 'timestamps'
  | 'linearizability'
  | 'log-order'
  | 'stale-read'
  | 'read-confirmation'
  | 'issue-order'
  | 'honest-outcomes'
  | 'persistence'
  | 'nacks'
  | 'never-back'
  | 'orderly-views'
  | 'epochs'
  | 'replacement'
  | 'log-trim'
  | 'pipeline-bound'
  | 'effects'
  | 'replay'
  | 'performance'
  | 'divergence';

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

export type MessageType = Message['type'];

export type Fail = (kind: FailureKind, message: string) => void;

/** One request that a replica's state machine executed. */
export interface Execution {
  readonly replica: number;
  readonly request: AppliedRequest;
  readonly applied: Applied<KernelState>;
}

/** What a superblock says, read from its bytes. */
export interface SuperblockView {
  readonly view: number;
  readonly logView: number;
  readonly commit: number;
  readonly checkpoint: number;
  readonly suffix: readonly { readonly op: number; readonly id: Checksum | null }[];
  /** Which machine of its replica it is of. */
  readonly incarnation: number;
  /** Durable ones, the newest first. */
  readonly checkpoints: readonly CheckpointView[];
  /** Null: as founded. */
  readonly membership: Membership | null;
}

/** A checkpoint as a superblock names it. */
export interface CheckpointView {
  readonly op: number;
  readonly contentBytes: number;
  /** Of its manifest. */
  readonly checksum: Checksum;
}

export type ApplyEffects = Extract<Effect, { readonly type: 'apply-effects' }>;

/** What the run ended with: everything healed, converged and idle. */
export interface Ending {
  readonly history: History;
  /** Those that are well; none where more was destroyed than the protocol can do without, and all have stopped. */
  readonly replicas: readonly Replica<KernelState>[];
}

/** What a checker may ask about the cluster: the disks and the time, nothing a replica thinks. */
export interface World {
  /** With how many replicas the cluster was founded. */
  readonly nodes: number;
  readonly cluster: ClusterId;
  readonly hasher: Hasher;
  readonly nowUs: () => number;
  readonly platter: (replica: number) => Platter;
  /** The latest superblock that was synced, read off the replica's disk. */
  readonly superblock: (replica: number) => SuperblockView;
  /** Whose memory was changed, and is not known to be good again: what these execute is not judged. */
  readonly flips: Flips;
}

/** A line of a replica's own log. */
export interface JournalLine {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Looks at a run from one side. Each hook is called for everything of its kind, by every replica. */
export interface Checker {
  readonly name: CheckerName;
  /** A process starts over what is on its disk. */
  readonly booted?: (replica: number) => void;
  /** The process is gone; what follows is another boot's. */
  readonly down?: (replica: number) => void;
  /** The machine is lost, and what it had said with it: an empty one takes its place (Table H). */
  readonly wiped?: (replica: number) => void;
  /** A message to other replicas is about to leave. Of the types in `sentTypes`; all of them when that is left out. */
  readonly sent?: (replica: number, message: Message) => void;
  readonly sentTypes?: readonly MessageType[];
  /** A message has reached the replica. */
  readonly heard?: (replica: number, message: Message) => void;
  readonly heardTypes?: readonly MessageType[];
  /** A prepare is being written to a segment, not yet synced. The bytes stay as they are. */
  readonly recorded?: (replica: number, record: SegmentRecord) => void;
  /** A header record is being written, not yet synced. */
  readonly headerRecorded?: (replica: number, claim: HeaderClaim) => void;
  /** A copy of a superblock is being written, not yet synced. */
  readonly superblockWritten?: (replica: number, superblock: SuperblockView) => void;
  /** A superblock is synced; `world.superblock` has it. */
  readonly superblockSynced?: (replica: number, superblock: SuperblockView) => void;
  /** A sync of another file has ended well. */
  readonly synced?: (replica: number, file: string) => void;
  /** A file is about to be removed. */
  readonly removed?: (replica: number, file: string) => void;
  readonly executed?: (execution: Execution) => void;
  /** The replica goes on from a state that it read from a checkpoint, and has not executed anything on it yet. */
  readonly restored?: (replica: number, state: KernelState) => void;
  /** The effects of one op went to whoever executes them. */
  readonly handedOn?: (replica: number, effects: ApplyEffects) => void;
  /** A frame of a client has reached the replica. */
  readonly asked?: (replica: number, connection: number, messages: readonly ClientMessage[]) => void;
  /** A frame to a client is about to leave. */
  readonly told?: (replica: number, connection: number, messages: readonly ServerMessage[]) => void;
  /** The same of a replica whose memory was changed: nobody hears it. */
  readonly muted?: (replica: number, messages: readonly ServerMessage[]) => void;
  readonly journaled?: (replica: number, line: JournalLine) => void;
  readonly returned?: (call: Call) => void;
  readonly ended?: (ending: Ending) => void;
}

export const describeHeader = ({ op, view, id }: PrepareHeader): string => `op ${op} view ${view} id ${id.slice(0, 8)}`;
