import type { FailureKind } from '../checkers/checker.ts';
import type { Power } from '../machine.ts';

/** Who takes part: a lane of the sequence diagram. */
export type Party =
  | { readonly type: 'replica'; readonly index: number }
  | { readonly type: 'client'; readonly index: number };

/** What a message is for; a reader hides and colours by it. */
export const messageFamilies = [
  'prepare',
  'ack',
  'heartbeat',
  'clock',
  'view-change',
  'repair',
  'request',
  'query',
  'reply',
  'session',
  'damaged',
] as const;
export type MessageFamily = (typeof messageFamilies)[number];

/** One frame in a reader's words. Read from the bytes that travelled, not from what the sender meant. */
export interface MessageSummary {
  readonly family: MessageFamily;
  readonly type: string;
  readonly op: number | null;
  readonly view: number | null;
  /** Everything else worth knowing, in one line. */
  readonly detail: string;
}

/** A replica as it stands after a turn. */
export interface ReplicaSummary {
  readonly status: string;
  readonly isPrimary: boolean;
  readonly view: number;
  readonly logView: number;
  readonly head: number;
  readonly commit: number;
  readonly applied: number;
  readonly checkpoint: number;
  /** What its superblock holds. */
  readonly durableView: number;
  readonly durableLogView: number;
  readonly stateHash: string;
}

/** What was called, as its client sees it. */
export interface CallSummary {
  readonly id: number;
  readonly type: string;
  readonly table: string;
  readonly key: number;
  readonly marker: string;
}

/** One command that a state machine executed. */
export interface ExecutedCommand {
  readonly text: string;
  readonly marker: string | null;
  /** False for a rejection and for a replay: neither changed anything. */
  readonly tookEffect: boolean;
}

interface At {
  readonly atUs: number;
}

/** A turn of a replica: what it was handed, and how that left it; null when nothing of the summary changed. */
interface Turn {
  readonly after: ReplicaSummary | null;
}

export type DiskCall =
  | 'list'
  | 'create'
  | 'size'
  | 'read'
  | 'write'
  | 'append'
  | 'write-durable'
  | 'sync'
  | 'sync-directory'
  | 'rename'
  | 'remove'
  | 'free';

/** Calls after which something is durable. */
export const isDurable = (call: DiskCall): boolean =>
  call === 'sync' || call === 'sync-directory' || call === 'write-durable';

/** One thing that happened in a run. */
export type RunEvent = At &
  (
    | {
        readonly kind: 'sent';
        /** Number of this transmission; what arrives names it. */
        readonly id: number;
        readonly from: Party;
        readonly to: Party;
        readonly message: MessageSummary;
        readonly bytes: number;
        /** How often it arrived so far: 0 is lost or under way, 2 a duplicate. */
        readonly arrivals: number;
      }
    | ({
        readonly kind: 'received';
        /** Null for a frame nobody was seen to send: damaged on its way. */
        readonly id: number | null;
        readonly from: Party;
        readonly to: Party;
        readonly message: MessageSummary;
        /** 1 for the first arrival of this transmission. */
        readonly copy: number;
      } & Turn)
    | {
        readonly kind: 'connection';
        readonly client: number;
        readonly replica: number;
        readonly connection: number;
        readonly what: 'dialled' | 'opened' | 'refused' | 'closed';
      }
    | {
        readonly kind: 'disk-started';
        readonly replica: number;
        readonly call: DiskCall;
        readonly file: string;
        readonly detail: string;
      }
    | ({
        readonly kind: 'disk-done';
        readonly replica: number;
        readonly call: DiskCall;
        readonly file: string;
        readonly detail: string;
        /** Null: it went well. */
        readonly error: string | null;
      } & Turn)
    | ({ readonly kind: 'timer'; readonly replica: number; readonly timer: string } & Turn)
    /** A turn nothing of the above led to: a start, or what a replica had put off. */
    | ({ readonly kind: 'turn'; readonly replica: number } & Turn)
    | { readonly kind: 'power'; readonly replica: number; readonly power: Power | 'opened' }
    | {
        readonly kind: 'executed';
        readonly replica: number;
        readonly op: number;
        readonly position: number;
        readonly commands: readonly ExecutedCommand[];
      }
    | { readonly kind: 'called'; readonly client: number; readonly call: CallSummary }
    | { readonly kind: 'returned'; readonly client: number; readonly call: CallSummary; readonly result: string }
    | {
        readonly kind: 'fault';
        readonly text: string;
        readonly forUs: number | null;
        readonly replicas: readonly number[];
      }
    | { readonly kind: 'journal'; readonly replica: number; readonly text: string }
    | { readonly kind: 'note'; readonly text: string }
    | { readonly kind: 'failure'; readonly checker: FailureKind; readonly message: string }
  );

export type RunEventKind = RunEvent['kind'];
