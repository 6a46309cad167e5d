import type { Call } from '../history.ts';
import type { RunOptions } from '../options.ts';
import type { Execute, RunResult } from '../run.ts';
import { EventLog } from './event-log.ts';
import type { RunEvent } from './run-event.ts';

/** A run with everything that happened in it. */
export interface RecordedRun {
  readonly result: RunResult;
  readonly events: readonly RunEvent[];
  /** Earlier events that were not kept. */
  readonly dropped: number;
  readonly calls: readonly Call[];
}

export function recordRun(seed: number, options: RunOptions, execute: Execute): RecordedRun {
  const log = new EventLog();
  const result = execute(seed, { ...options, observer: log });
  return { result, events: log.events, dropped: log.dropped, calls: log.calls };
}
