import type { CheckpointRef, Checksum, Op, Prepare, ReplicaId } from '@kimberlite/base';
import type { ClientQuery, ClientRequest } from './client.ts';
import type { MemberChange } from './reconfiguration.ts';
import type { Message } from './message.ts';

/** Each replica has at most one timer of a name; setting it again replaces it. */
export type TimerName =
  | 'heartbeat'
  | 'heartbeat-timeout'
  | 'prepare'
  | 'read-round'
  | 'abdicate'
  | 'view-change'
  | 'do-view-change'
  | 'request-start-view'
  | 'repair'
  | 'ping'
  | 'sync'
  | 'checkpoint'
  | 'audit'
  | 'stop';

/** The clocks as the host read them just before the event. */
export interface ClockReading {
  /** Microseconds; never goes back; its origin means nothing. */
  readonly monotonicUs: number;
  /** Microseconds since 1970, as this machine believes; may jump. */
  readonly realtimeUs: number;
}

export type Event =
  /** The first event after a boot. */
  | { readonly type: 'start' }
  /** `incarnation` of the sender; left out: the first. */
  | { readonly type: 'message'; readonly message: Message; readonly incarnation?: number }
  /** Everything one turn of the host received, in order: admitted one by one, then prepared together as far as bounds allow. */
  | { readonly type: 'client-requests'; readonly requests: readonly ClientRequest[] }
  /** Everything one turn brought: it shares a confirmation round. */
  | { readonly type: 'client-queries'; readonly queries: readonly ClientQuery[] }
  | { readonly type: 'timer'; readonly timer: TimerName }
  /** The prepare is on stable storage. */
  | { readonly type: 'log-written'; readonly op: Op; readonly id: Checksum }
  /** The superblock write with this sequence number is on stable storage. */
  | { readonly type: 'superblock-written'; readonly sequence: number }
  /** Null: the slot does not hold an intact prepare with that id. */
  | { readonly type: 'prepare-read'; readonly op: Op; readonly id: Checksum; readonly prepare: Prepare | null }
  /** Null: there was no space for it, and nothing is left of it. */
  | { readonly type: 'checkpoint-written'; readonly op: Op; readonly ref: CheckpointRef | null }
  /** Null: that part is not here intact. `to` is the effect's. */
  | {
      readonly type: 'checkpoint-part-read';
      readonly ref: CheckpointRef;
      readonly part: number;
      readonly to: ReplicaId | null;
      readonly bytes: Uint8Array | null;
    }
  /** Parts not here yet. Null: that was not the manifest of that checkpoint, or there is no space. */
  | {
      readonly type: 'checkpoint-receiving';
      readonly checksum: Checksum;
      readonly missing: readonly number[] | null;
    }
  /** False: it is not what the manifest says, or there is no space. */
  | {
      readonly type: 'checkpoint-part-stored';
      readonly checksum: Checksum;
      readonly part: number;
      readonly stored: boolean;
    }
  /** A scrub found the prepare damaged that the log had under that id: it is not there any more. */
  | { readonly type: 'damage-found'; readonly op: Op; readonly id: Checksum }
  /** A scrub found a part of it damaged. */
  | { readonly type: 'checkpoint-damaged'; readonly ref: CheckpointRef }
  /** Writes to the log wait for room on the disk; or go on again. */
  | { readonly type: 'disk-full'; readonly full: boolean }
  /** The operator vouches that the machine of that replica is gone for good. Answered by `member-replaced`. */
  | { readonly type: 'replace-member'; readonly replica: number; readonly ticket: number }
  /** The operator wants another group. Answered by `members-changed`. */
  | {
      readonly type: 'change-members';
      readonly change: MemberChange;
      readonly ticket: number;
      readonly dryRun: boolean;
    }
  /** The operator wants another replica to be the primary. */
  | { readonly type: 'transfer' }
  /** The operator wants this replica to stop: refuse new work and, as primary, hand over first. */
  | { readonly type: 'stop' };
