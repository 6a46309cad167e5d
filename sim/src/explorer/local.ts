import type { Checksum, Prepare } from '@kimberlite/base';
import type { DurableState, Message, TimerName } from '@kimberlite/vsr';
import type { CanonicalText } from './canonical-text.ts';
import type { DurableImage } from './durable-image.ts';
import { replicaText, type Subject } from './replica-fields.ts';

/** A read of the own log under way; what it brings was decided when it started. */
export interface PendingRead {
  readonly op: number;
  readonly id: Checksum;
  readonly prepare: Prepare | null;
}

/** One replica with everything that is its own: memory, disk, what is under way to the disk, timers. Never changed once made. */
export interface Local {
  readonly replica: Subject;
  readonly image: DurableImage;
  /** Prepares on their way to the log, in the order in which they were appended. */
  readonly writes: readonly Prepare[];
  readonly superblockWrite: DurableState | null;
  readonly reads: readonly PendingRead[];
  /** Of `timerNames`, as bits: set and not fired yet. */
  readonly timers: number;
  readonly boots: number;
}

/** How a crash leaves what was under way. */
export interface CrashOutcome {
  readonly superblockKept: boolean;
  /** One letter a pending write, in order: kept or lost. */
  readonly writes: string;
  /** Op whose header record was torn; 0: none. */
  readonly torn: number;
  /** Op whose intact prepare rotted meanwhile; 0: none. */
  readonly rotted: number;
}

export const kept = 'k';
export const lost = 'l';

/** What can happen at one replica. */
export type LocalEvent =
  | { readonly type: 'deliver'; readonly message: Message }
  | { readonly type: 'timer'; readonly timer: TimerName }
  | { readonly type: 'request'; readonly request: number }
  | { readonly type: 'log-written'; readonly op: number; readonly id: Checksum }
  | { readonly type: 'superblock-written' }
  | { readonly type: 'read-done'; readonly op: number; readonly id: Checksum }
  | { readonly type: 'crash'; readonly outcome: CrashOutcome }
  /** Before an exploration begins: all clients register. */
  | { readonly type: 'register' };

/** Timers that worlds explore. */
export const timerNames: readonly TimerName[] = [
  'heartbeat',
  'heartbeat-timeout',
  'view-change',
  'do-view-change',
  'prepare',
  'request-start-view',
  'repair',
];

/** 0 for a timer that is not explored. */
export const timerBit = (timer: TimerName): number => {
  const at = timerNames.indexOf(timer);
  return at < 0 ? 0 : 1 << at;
};

/** The one text of a replica's whole state: equal texts, equal behaviour from here on. */
export function localText(local: Local, write: CanonicalText): string {
  const { replica, image, writes, superblockWrite, reads, timers, boots } = local;
  const disk = `${write.of(image.superblock)}${write.of(image.slots)}${write.of(writes)}${write.of(superblockWrite)}`;
  return `${replicaText(replica, write)}|${disk}|${write.of(reads)}|${timers}|${boots}`;
}
