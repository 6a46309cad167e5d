import type { Execute, RunResult } from '../run.ts';
import {
  type Candidate,
  eventsBelow,
  failureOf,
  isSameFailure,
  optionsOf,
  pinned,
  type Size,
  sizeOf,
  weightOf,
} from './candidate.ts';
import { passes, type Proposal, type Smallest } from './passes.ts';

/** Runs executed while shrinking, at most; each is no longer than the shortest failing one so far. */
export const shrinkRunsMax = 600;
/** Times through all passes. */
const roundsMax = 6;
/** Bound of a check that a hang is one, in times the events it was seen after. */
const confirmFactor = 20;

export interface ShrinkProgress {
  readonly runs: number;
  readonly pass: string;
  readonly original: Size;
  readonly smallest: Size;
}

export interface Shrunk {
  readonly candidate: Candidate;
  readonly result: RunResult;
  readonly original: Size;
  readonly size: Size;
  /** Calls of all clients, before and after. */
  readonly calls: readonly [before: number, after: number];
  readonly runs: number;
}

const callsIn = ({ stats }: RunResult): number => stats.calls;

/** A hang may be shown in less time than a run is given, as long as it is one in that time too. */
function isConfirmed(execute: Execute, candidate: Candidate, failing: RunResult, fullPatience: number): boolean {
  if (failureOf(failing).kind !== 'liveness' || candidate.plan.patienceSeconds >= fullPatience) return true;
  const patient = { ...candidate, plan: { ...candidate.plan, patienceSeconds: fullPatience } };
  const options = { ...optionsOf(patient), eventsMax: confirmFactor * failing.stats.events };
  return isSameFailure(failureOf(failing), execute(candidate.seed, options).failure);
}

/**
 * Looks for a smaller run that fails by the same checker, one executed run a step. Whoever drives it decides when to
 * stop: what was found so far is in the last progress' hands, and `return` gives it.
 */
export function* shrink(
  failing: RunResult,
  execute: Execute,
  mayGoOn: () => boolean = () => true,
): Generator<ShrinkProgress, Shrunk, void> {
  const failure = failureOf(failing);
  const original = sizeOf(failing);
  const fullPatience = failing.plan.patienceSeconds;
  let best = failing;
  let smallest: Smallest = { candidate: pinned(failing), size: original, failure, calls: callsIn(failing) };
  let runs = 0;

  const accept = ({ candidate, eventsMax: enough = Number.POSITIVE_INFINITY, asksLess }: Proposal): boolean => {
    const below = weightOf(smallest.size) + (asksLess === true ? 1 : 0);
    const eventsMax = Math.min(enough, eventsBelow(below, candidate));
    if (eventsMax < 1) return false;
    runs += 1;
    const result = execute(candidate.seed, { ...optionsOf(candidate), eventsMax });
    if (!isSameFailure(failure, result.failure) || weightOf(sizeOf(result)) >= below) return false;
    if (!isConfirmed(execute, candidate, result, fullPatience)) return false;
    best = result;
    // What was not done, because the run had failed by then or because it could do nothing, is no part of it.
    const done = { ...candidate, script: result.script };
    smallest = { candidate: done, size: sizeOf(result), failure: failureOf(result), calls: callsIn(result) };
    return true;
  };

  // A run that proves too little is not made to prove more by being smaller.
  const worthIt = failure.kind !== 'hollow' && failure.kind !== 'undecided';
  for (let round = 0; worthIt && round < roundsMax; round++) {
    const before = weightOf(smallest.size);
    for (const [pass, propose] of passes) {
      for (const proposal of propose(() => smallest)) {
        if (runs >= shrinkRunsMax || !mayGoOn()) return done();
        accept(proposal);
        yield { runs, pass, original, smallest: smallest.size };
      }
    }
    if (weightOf(smallest.size) === before) break;
  }
  return done();

  function done(): Shrunk {
    const { candidate, size } = smallest;
    return { candidate, result: best, original, size, calls: [callsIn(failing), callsIn(best)], runs };
  }
}
