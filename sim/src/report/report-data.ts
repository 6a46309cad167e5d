import type { ReplicaSummary } from './run-event.ts';

// What the page of a failing run is given, as JSON inside the page. Text is kept once each, in `strings`, and events
// are rows of numbers: a hundred thousand of them are a few megabytes.

/** First number of a row. The order is the code. */
export const rowKinds = [
  /** dtUs · from · to · family · label · detail · bytes */
  'sent',
  /** dtUs · from · to · row of its `sent`, or -1 · copy · state, or -1 · family · label */
  'received',
  // All others: dtUs · lane, or -1 · text · detail, or -1 · state, or -1
  'disk-started',
  'disk-done',
  'disk-failed',
  'synced',
  'timer',
  'turn',
  'booted',
  'opened',
  'paused',
  'down',
  'executed',
  /** detail: id of the call. */
  'called',
  'returned',
  'connection',
  /** detail: how long, in microseconds, or -1. */
  'fault',
  'journal',
  'note',
  'failure',
] as const;
export type RowKind = (typeof rowKinds)[number];

export type ReportRow = readonly number[];

/** One call as the picture of its row in the table shows it. */
export interface ReportCall {
  readonly id: number;
  readonly client: number;
  /** `table/key`: what the register it is about is called. */
  readonly register: string;
  readonly type: string;
  readonly marker: string;
  readonly invokedUs: number;
  /** Null: the client never heard. */
  readonly returnedUs: number | null;
  readonly outcome: 'ok' | 'rejected' | 'not-applied' | 'unknown' | 'open';
  readonly result: string;
  /** What a read found; null for nothing, and for writes. */
  readonly value: string | null;
  readonly op: number | null;
  /** When the first replica executed it; null for reads, and where none did. */
  readonly executedUs: number | null;
  /** Part of what cannot be explained. */
  readonly suspect: boolean;
}

/** A register's value from a time on, by the order of the log. */
export interface RegisterChange {
  readonly register: string;
  readonly atUs: number;
  readonly value: string | null;
  readonly position: number;
}

export interface ReportData {
  readonly title: string;
  readonly failure: { readonly kind: string; readonly message: string; readonly atUs: number } | null;
  /** The command that runs it again. */
  readonly replay: string;
  /** Name and value, for the head of the page. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly replicas: number;
  readonly clients: number;
  /** Time of the first row; every row adds its own difference. */
  readonly startUs: number;
  readonly rows: readonly ReportRow[];
  readonly strings: readonly string[];
  readonly states: readonly ReplicaSummary[];
  /** How each replica was before the first row. */
  readonly before: readonly { readonly power: 'down' | 'running' | 'paused'; readonly state: number }[];
  /** Row of the failure; the last row when there is none. */
  readonly focusRow: number;
  /** Earlier events that are not here. */
  readonly omitted: number;
  readonly calls: readonly ReportCall[];
  readonly changes: readonly RegisterChange[];
  /** The register to show first. */
  readonly register: string | null;
}
