import { assert } from '@kimberlite/base';
import type { Failure, FailureKind } from '../checkers/checker.ts';
import type { FaultAction } from '../nemesis/action.ts';
import type { RunOptions } from '../options.ts';
import type { RunPlan } from '../plan.ts';
import type { RunResult } from '../run.ts';

/** All that pins a run: with the same code it is the same run, event for event. */
export interface Candidate {
  /** Of what no list pins: latencies, the clients' picks, what a crash leaves on a disk. */
  readonly seed: number;
  readonly plan: RunPlan;
  readonly script: readonly FaultAction[];
  readonly endsWhenCalm: boolean;
}

/** How much there is to read in a failing run. */
export interface Size {
  /** Events up to the failure. */
  readonly events: number;
  /** Fault actions. */
  readonly actions: number;
  readonly clients: number;
  readonly nodes: number;
}

export const optionsOf = ({ plan, script, endsWhenCalm }: Candidate): RunOptions => ({ plan, script, endsWhenCalm });

/** The candidate that pins a run that was drawn. */
export const pinned = (result: RunResult): Candidate => ({
  seed: result.seed,
  plan: result.plan,
  script: result.script,
  endsWhenCalm: false,
});

const actionsIn = (script: readonly FaultAction[]): number => script.filter(({ kind }) => kind !== 'calm').length;

export const sizeOf = (result: RunResult): Size => ({
  events: result.stats.events,
  actions: actionsIn(result.script),
  clients: result.plan.clients.length,
  nodes: result.plan.nodes,
});

// Worth a few events each: a fault less to think about is worth a slightly longer run.
const eventsPerAction = 30;
const eventsPerClient = 30;
const eventsPerNode = 60;

const overhead = (actions: number, clients: number, nodes: number): number =>
  eventsPerAction * actions + eventsPerClient * clients + eventsPerNode * nodes;

export const weightOf = ({ events, actions, clients, nodes }: Size): number =>
  events + overhead(actions, clients, nodes);

/** Events a candidate may take and still be smaller than what weighs `weight`; below 1 when it cannot be. */
export const eventsBelow = (weight: number, { plan, script }: Candidate): number =>
  weight - 1 - overhead(actionsIn(script), plan.clients.length, plan.nodes);

/** Failures found in what clients saw, after the last event: replicas need not agree first for them to be true. */
const ofHistories: ReadonlySet<FailureKind> = new Set(['linearizability', 'issue-order', 'honest-outcomes']);
export const isOfHistories = ({ kind }: Failure): boolean => ofHistories.has(kind);

/** A replica's end is told by a stack; what it says first, without its numbers, tells one from another. */
function fingerprint({ kind, message }: Failure): string {
  if (kind !== 'fatal' && kind !== 'replica') return kind;
  const [first = ''] = message.split('\n');
  return `${kind} ${first.replaceAll(/[0-9a-f]{8,}|\d+/g, '#')}`;
}

/** Found by the same checker: a smaller run that fails in another way explains nothing. */
export const isSameFailure = (a: Failure, b: Failure | null): boolean =>
  b !== null && fingerprint(a) === fingerprint(b);

export function failureOf(result: RunResult): Failure {
  assert(result.failure !== null, 'only a run that failed is shrunk');
  return result.failure;
}
