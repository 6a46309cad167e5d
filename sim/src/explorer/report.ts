import type { Convergence, ConvergenceCounts } from './convergence.ts';
import type { Exploration, Finding } from './exploration.ts';
import type { SometimesProperty, Violation } from './property.ts';
import type { RandomWalks, WalkOptions } from './random-walks.ts';
import { type Replay, type ReplayedEvent, replaySchedule, scheduleText } from './schedule.ts';
import type { StateSpaceOptions } from './state-space.ts';
import type { World } from './world.ts';

/** A violation, and how to come back to it. */
export interface ReportedViolation extends Violation {
  /** For `--replay`. */
  readonly schedule: string;
  readonly events: readonly ReplayedEvent[];
}

interface Seen {
  readonly seen: readonly SometimesProperty[];
  /** Expected and not seen. */
  readonly missing: readonly SometimesProperty[];
  readonly violation: ReportedViolation | null;
  readonly ok: boolean;
}

/** One row of the table of explorations. */
export interface WorldReport extends Seen {
  readonly world: World;
  readonly states: number;
  readonly transitions: number;
  readonly depth: number;
  readonly localStates: number;
  readonly stepsRun: number;
  readonly seconds: number;
  readonly statesPerSecond: number;
  /** Every state within the bounds was visited; else it was stopped by a limit, a violation, or a person. */
  readonly finished: boolean;
}

export interface WalkReport extends Seen {
  readonly world: World;
  readonly seed: number;
  readonly walks: number;
  readonly steps: number;
  readonly states: number;
  readonly deepest: number;
  readonly seconds: number;
}

export interface ConvergenceReport extends Seen, ConvergenceCounts {
  readonly world: World;
  readonly seconds: number;
  /** Every state was visited and judged. */
  readonly converged: boolean;
}

function reported(finding: Finding | null, options: StateSpaceOptions): ReportedViolation | null {
  if (finding === null) return null;
  const { events } = replaySchedule(options, finding.schedule);
  return { ...finding.violation, schedule: scheduleText(finding.schedule), events };
}

/** `expects` is what must have been seen in the end, or the exploration was hollow. */
export function reportExploration(
  exploration: Exploration,
  expects: readonly SometimesProperty[],
  seconds: number,
): WorldReport {
  const { finding, sometimes, counts, options } = exploration;
  const violation = reported(finding, options);
  const finished = exploration.isDone && finding === null;
  const missing = expects.filter((property) => !sometimes.includes(property));
  const { states, transitions, depth, localStates, stepsRun } = counts;
  return {
    world: options.world,
    states,
    transitions,
    depth,
    localStates,
    stepsRun,
    seconds,
    statesPerSecond: Math.round(states / Math.max(seconds, 0.001)),
    finished,
    seen: sometimes,
    missing,
    violation,
    ok: violation === null && (!finished || missing.length === 0),
  };
}

export function reportWalks(walks: RandomWalks, options: WalkOptions, seconds: number): WalkReport {
  const violation = reported(walks.finding, options);
  const { world, seed } = options;
  return {
    world,
    seed,
    ...walks.counts,
    seconds,
    seen: walks.sometimes,
    missing: [],
    violation,
    ok: violation === null,
  };
}

export function reportConvergence(convergence: Convergence, seconds: number): ConvergenceReport {
  const { finding, options, counts, isDone } = convergence;
  const violation = reported(finding, options);
  const converged = isDone && violation === null;
  return {
    world: options.world,
    ...counts,
    seconds,
    converged,
    seen: [],
    missing: [],
    violation,
    ok: violation === null,
  };
}

/** A violation as people read it: the shortest schedule, event by event. */
export const explainViolation = ({ world }: { readonly world: World }, violation: ReportedViolation): string =>
  [`world ${world.name}: ${violation.property}: ${violation.message}`, ...eventLines(violation.events)].join('\n');

/** A schedule that was run again, and how it ended. */
export function explainReplay({ world }: { readonly world: World }, { events, violation, impossible }: Replay): string {
  const lines = [`world ${world.name}`, ...eventLines(events)];
  if (impossible !== null) lines.push(`event ${impossible + 1} cannot happen there`);
  else lines.push(violation === null ? 'no violation' : `${violation.property}: ${violation.message}`);
  return lines.join('\n');
}

const eventLines = (events: readonly ReplayedEvent[]): readonly string[] =>
  events.flatMap(({ replica, lines: [what = '', ...rest] }, i) => [
    `${String(i + 1).padStart(4)}  r${replica}  ${what}`,
    ...rest.map((text) => `          ${text}`),
  ]);
