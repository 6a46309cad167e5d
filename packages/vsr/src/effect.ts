import type { Checksum, ClientId, Op, Prepare, ReplicaId, Timestamp } from '@kimberlite/base';
import type { ClientReply } from './client.ts';
import type { DurableState } from './durable-state.ts';
import type { TimerName } from './event.ts';
import type { Message } from './message.ts';

/** What a step asks the host to do. The order of a list carries no meaning a shell must keep. */
export type Effect =
  | { readonly type: 'send-message'; readonly to: ReplicaId; readonly message: Message }
  /** To every other replica. */
  | { readonly type: 'broadcast'; readonly message: Message }
  | { readonly type: 'set-timer'; readonly timer: TimerName; readonly delayMs: number }
  | { readonly type: 'cancel-timer'; readonly timer: TimerName }
  /** Answered by `log-written` once the prepare is on stable storage. */
  | { readonly type: 'write-to-log'; readonly prepare: Prepare }
  /** The superblock. One at a time; answered by `superblock-written`. */
  | { readonly type: 'flush-to-disk'; readonly sequence: number; readonly state: DurableState }
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
  /** The hand-over asked for by `stop` is done. Always the last effect there is. */
  | { readonly type: 'stopped' };
