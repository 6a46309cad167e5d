import { err, type Result } from '@kimberlite/base';
import type { Failure } from '../checkers/checker.ts';
import type { FaultAction } from '../nemesis/action.ts';
import { faultKinds } from '../options.ts';
import { brokenWays, type RunPlan } from '../plan.ts';
import type { RunResult } from '../run.ts';
import type { WorkloadOptions } from '../workload.ts';
import type { Candidate, Size } from './candidate.ts';
import { flag, listOf, number, objectOf, oneOf, optional, type Shape, text, whole } from './json-shape.ts';
import { readAction } from './read-action.ts';

const format = 'kimberlite-schedule-1';
const actionsMax = 100_000;
const clientsMax = 1_000;
const replicasMax = 100;
const durationsMax = 100;

/** A run as a file: everything that pins it, how it ended, and where it comes from. */
export interface Schedule extends Candidate {
  readonly format: typeof format;
  readonly failure: { readonly kind: string; readonly message: string };
  /** Of the run; replayed with the same code it is the same. */
  readonly traceHash: string;
  readonly size: Size;
  /** The run that was shrunk to this one; the same size when none was. */
  readonly original: { readonly seed: number; readonly traceHash: string; readonly size: Size };
}

export function scheduleOf(options: {
  readonly candidate: Candidate;
  readonly failure: Failure;
  readonly traceHash: string;
  readonly size: Size;
  readonly original: { readonly result: RunResult; readonly size: Size };
}): Schedule {
  const { candidate, failure, traceHash, size, original } = options;
  return {
    format,
    ...candidate,
    failure: { kind: failure.kind, message: failure.message },
    traceHash,
    size,
    original: { seed: original.result.seed, traceHash: original.result.traceHash, size: original.size },
  };
}

const sizeShape: Shape<Size> = objectOf<Size>({ events: whole, actions: whole, clients: whole, nodes: whole });

const workloadShape: Shape<WorkloadOptions> = objectOf<WorkloadOptions>({
  keys: whole,
  window: whole,
  thinkUs: number,
  plenty: whole,
  readRate: number,
  sharedRate: number,
  bursts: optional(flag),
  readerPauses: optional(number),
  callsMax: optional(whole),
});

const planShape: Shape<RunPlan> = objectOf<RunPlan>({
  nodes: whole,
  faults: listOf(oneOf(faultKinds), faultKinds.length),
  meanIntervalUs: number,
  durationsUs: listOf(number, durationsMax),
  seconds: number,
  clients: listOf(oneOf(['sdk', 'plain'] as const), clientsMax),
  workload: workloadShape,
  giveUpUs: number,
  checkpointInterval: whole,
  patienceSeconds: number,
  weak: listOf(whole, replicasMax),
  broken: listOf(objectOf<RunPlan['broken'][number]>({ replica: whole, how: oneOf(brokenWays) }), replicasMax),
  mendsBroken: flag,
  finalBlackout: flag,
  exceeds: flag,
  acknowledgedMin: whole,
  simulatedSecondsMin: number,
});

const scheduleShape: Shape<Schedule> = objectOf<Schedule>({
  format: oneOf([format]),
  seed: whole,
  plan: planShape,
  script: listOf<FaultAction>(readAction, actionsMax),
  endsWhenCalm: flag,
  failure: objectOf<Schedule['failure']>({ kind: text, message: text }),
  traceHash: text,
  size: sizeShape,
  original: objectOf<Schedule['original']>({ seed: whole, traceHash: text, size: sizeShape }),
});

/** Reads a file's text. Never throws: what is wrong is said with its place. */
export function parseSchedule(json: string): Result<Schedule, string> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return err('it is not JSON');
  }
  return scheduleShape(value, '');
}

/** A fault a line: short enough to be read, and to be changed by hand. */
export function formatSchedule(schedule: Schedule): string {
  const { script, ...rest } = schedule;
  const lines = script.map((action) => `    ${JSON.stringify(action)}`).join(',\n');
  const head = JSON.stringify({ ...rest, script: [] }, null, 2);
  return `${head.replace('"script": []', script.length === 0 ? '"script": []' : `"script": [\n${lines}\n  ]`)}\n`;
}
