/** Branches of the log that tests must not miss. A log says at a port which of them it takes; see vsr's coverage.ts. */
export const logMarks = [
  // Opening.
  'superblock-copy-rewritten',
  'file-header-rewritten',
  'header-record-rebuilt',
  'header-record-completed',
  'header-record-moved',
  'newer-prepare-may-be-hidden',
  'torn-write-cleared',
  'damage-left-alone',
  'unfinished-file-removed',
  // Table D.
  'slot-faulty',
  'slot-torn',
  'head-uncertain',
  // Appending.
  'append-waits-for-file',
  'low-on-space',
  'log-full',
  'scrub-found-damage',
  'log-goes-on',
  'prepare-there-already',
  'headers-of-one-op-kept-apart',
  'read-found-damage',
  // Checkpoints and the low end of the log.
  'checkpoint-written',
  'checkpoint-no-space',
  'checkpoint-damaged',
  'checkpoint-resumed',
  'checkpoint-received',
  'log-trimmed',
  'trimmed-file-removed',
] as const;

export type LogMark = (typeof logMarks)[number];

/** Hears which branches are taken. Left out: nobody listens. */
export interface MarkPort {
  readonly mark?: (name: LogMark) => void;
}
