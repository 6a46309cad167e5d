import type { KernelError } from './error.ts';
import type { QueryAnswer } from './query-types.ts';

/** What a command gives back beyond having happened. */
export type CommandResult =
  | QueryAnswer
  /** Upsert: whether there was no such row before. */
  | { readonly inserted: boolean }
  /** CreateIndex: rows that are in it. */
  | { readonly indexedRows: number }
  /** Checkpoint, Compact: accepted; the state machine schedules, the node does it. */
  | { readonly scheduled: true };

/**
 * What became of one command, as plain data: the body of a reply and what NotifyClient carries. Of a replay it
 * is the first outcome (its position, op and timestamp) with `isReplay` true.
 */
export type Outcome =
  | {
      readonly ok: true;
      readonly position: number;
      readonly op: number;
      /** Microseconds since 1970, of the op. */
      readonly timestamp: number;
      readonly isReplay: boolean;
      readonly result?: CommandResult;
    }
  | { readonly ok: false; readonly error: KernelError; readonly position: number };
