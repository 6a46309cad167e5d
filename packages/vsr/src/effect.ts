import type {
  CheckpointRef,
  Checksum,
  ClientId,
  Op,
  Prepare,
  PrepareHeader,
  ReplicaId,
  Timestamp,
} from '@kimberlite/base';
import type { ClientReply } from './client.ts';
import type { DurableState } from './durable-state.ts';
import type { TimerName } from './event.ts';
import type { Membership } from './group.ts';
import type { Message } from './message.ts';

/** What a step asks the host to do. The order of a list carries no meaning a shell must keep. */
export type Effect =
  | { readonly type: 'send-message'; readonly to: ReplicaId; readonly message: Message }
  /** The same to each of them. */
  | { readonly type: 'broadcast'; readonly to: readonly ReplicaId[]; readonly message: Message }
  | { readonly type: 'set-timer'; readonly timer: TimerName; readonly delayMs: number }
  | { readonly type: 'cancel-timer'; readonly timer: TimerName }
  /** Answered by `log-written` once the prepare is on stable storage. */
  | { readonly type: 'write-to-log'; readonly prepare: Prepare }
  /** The superblock. One at a time; answered by `superblock-written`. */
  | { readonly type: 'flush-to-disk'; readonly sequence: number; readonly state: DurableState }
  /** Draws the content as the disk can take it, and syncs it. One at a time; answered by `checkpoint-written`. */
  | { readonly type: 'write-checkpoint'; readonly header: PrepareHeader; readonly content: Iterator<Uint8Array> }
  /**
   * Of a checkpoint that is here; the part behind the last is the manifest. Answered by `checkpoint-part-read`, which
   * says again for whom it is: a peer, or this replica (null).
   */
  | {
      readonly type: 'read-checkpoint-part';
      readonly ref: CheckpointRef;
      readonly part: number;
      readonly to: ReplicaId | null;
    }
  /** Makes room for a checkpoint that comes from peers. Answered by `checkpoint-receiving`. */
  | { readonly type: 'receive-checkpoint'; readonly ref: CheckpointRef; readonly manifest: Uint8Array }
  /** Answered by `checkpoint-part-stored`. */
  | {
      readonly type: 'store-checkpoint-part';
      readonly ref: CheckpointRef;
      readonly part: number;
      readonly bytes: Uint8Array;
    }
  /** The log below `op` and all checkpoints but these may go. Never answered. */
  | { readonly type: 'trim-log'; readonly op: Op; readonly keep: readonly CheckpointRef[] }
  /** Answered by `prepare-read`. */
  | { readonly type: 'read-from-log'; readonly op: Op; readonly id: Checksum }
  | { readonly type: 'notify-client'; readonly client: ClientId; readonly reply: ClientReply }
  /** Effects of the state machine, unread; `primary` is false on backups, `replay` is true for ops re-applied after a boot. */
  | {
      readonly type: 'apply-effects';
      readonly op: Op;
      readonly timestamp: Timestamp;
      readonly primary: boolean;
      readonly replay: boolean;
      readonly effects: readonly unknown[];
    }
  /** What became of `replace-member`. */
  | {
      readonly type: 'member-replaced';
      readonly ticket: number;
      readonly result:
        | {
            readonly ok: true;
            readonly incarnation: number;
            readonly view: number;
            readonly membership: Membership | null;
          }
        | { readonly ok: false; readonly reason: string };
    }
  /** What became of `change-members`. The membership is that of the next epoch, which begins now. */
  | {
      readonly type: 'members-changed';
      readonly ticket: number;
      readonly result:
        | { readonly ok: true; readonly membership: Membership }
        /** `again`: the same may be accepted in a while. */
        | { readonly ok: false; readonly reason: string; readonly again: boolean };
    }
  /** Whom to be connected to from now on. */
  | { readonly type: 'group-changed'; readonly membership: Membership }
  /** This replica is no member any more, and a quorum of those that are can do without it. `stopped` follows. */
  | { readonly type: 'removed' }
  /** The hand-over asked for by `stop` is done. Always the last effect there is. */
  | { readonly type: 'stopped' };
