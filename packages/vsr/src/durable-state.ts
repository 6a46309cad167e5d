import type { Checksum, Op, PrepareHeader, View } from '@kimberlite/base';

/** One id of the suffix as the superblock keeps it. */
export interface DurableSuffixEntry {
  readonly op: Op;
  /** Null: blank. */
  readonly id: Checksum | null;
  readonly header: PrepareHeader | null;
}

/** The replica's part of the superblock: what it must never forget. None of the four numbers ever goes back. */
export interface DurableState {
  readonly view: View;
  /** Latest view in which this replica's log was settled. */
  readonly logView: View;
  /** Highest op known committed. */
  readonly commit: Op;
  /** Op of the newest durable checkpoint; 0 for none. */
  readonly checkpoint: Op;
  /** Ids of the undecided end: of a settled log as of its installation, of an unsettled one frozen at leaving. Ascending, at most P + 1. */
  readonly suffix: readonly DurableSuffixEntry[];
}
