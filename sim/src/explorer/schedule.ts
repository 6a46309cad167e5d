import { assert } from '@kimberlite/base';
import { describeEvent, describeLocal, describeMessage } from './describe.ts';
import type { Violation } from './property.ts';
import {
  type PathStep,
  type ScheduledEvent,
  StateSpace,
  type StateSpaceOptions,
  type Successor,
} from './state-space.ts';

// Schedules as people and the command line have them: every event by its name, nothing implied.

const word = /^([0-9])([A-Za-z0-9-]+)$/;

/** One word an event: the replica, then what happens there. */
export const scheduleText = (schedule: readonly ScheduledEvent[]): string =>
  schedule.map(({ replica, event }) => `${replica}${event}`).join(',');

/** Null when the text is no schedule. */
export function parseSchedule(text: string): readonly ScheduledEvent[] | null {
  const events: ScheduledEvent[] = [];
  for (const item of text.split(',')) {
    const match = word.exec(item.trim());
    if (match?.[1] === undefined || match[2] === undefined) return null;
    events.push({ replica: Number(match[1]), event: match[2] });
  }
  return events;
}

export interface ReplayedEvent extends ScheduledEvent {
  /** What happened, what was said, and how the replica is afterwards. */
  readonly lines: readonly string[];
}

export interface Replay {
  readonly events: readonly ReplayedEvent[];
  readonly violation: Violation | null;
  /** The event of the schedule that could not happen, from 0; null if all did. */
  readonly impossible: number | null;
}

/** A schedule on its way, event by event, in a space from which nothing is left out. */
class Player {
  readonly space: StateSpace;
  violation: Violation | null = null;
  private state: Uint32Array;

  constructor(options: StateSpaceOptions) {
    this.space = new StateSpace({ ...options, reduced: false });
    this.state = this.space.root.slice();
  }

  /** An event after which this replica is in the state with that digest. */
  leadingTo(replica: number, digest: string): ScheduledEvent | null {
    return this.first((next) => next.replica === replica && this.digestIn(next.state, replica) === digest);
  }

  /** An event that changes no replica: it only says something, and has not said it yet. */
  saying(): ScheduledEvent | null {
    return this.first(
      ({ replica, state, violation }) =>
        violation === null &&
        state[replica] === this.state[replica] &&
        state.some((part, at) => part !== this.state[at]),
    );
  }

  private first(matches: (next: Successor) => boolean): ScheduledEvent | null {
    let found: ScheduledEvent | null = null;
    this.space.successors(this.state, (next) => {
      if (found === null && matches(next)) found = { replica: next.replica, event: this.nameOf(next.event) };
    });
    return found;
  }

  /** Makes it happen. Null if it cannot. */
  play({ replica, event: name }: ScheduledEvent): readonly string[] | null {
    let lines: readonly string[] | null = null;
    let after: Uint32Array | null = null;
    this.space.successors(this.state, (next) => {
      if (after !== null || next.replica !== replica || this.nameOf(next.event) !== name) return;
      after = next.state.slice();
      this.violation = next.violation;
      lines = this.describe(replica, next.event, next.state[replica] as number);
    });
    if (after !== null) this.state = after;
    return lines;
  }

  private digestIn(state: Uint32Array, replica: number): string {
    return this.space.locals.digestOf(state[replica] as number);
  }

  private describe(replica: number, event: number, to: number): readonly string[] {
    const { locals, events, transitions } = this.space;
    const before = this.state[replica] as number;
    const transition = transitions.of(before, event);
    assert(transition !== null, 'an event that happens does something');
    const said: string[] = [];
    for (let i = 0; i < transition.sent.length; i += 2) {
      const sent = events.at(transition.sent[i + 1] as number);
      if (sent.type === 'deliver') said.push(`to ${transition.sent[i]}: ${describeMessage(sent.message)}`);
    }
    const state = transition.violation === null && to !== before ? [describeLocal(locals.at(to))] : [];
    return [describeEvent(events.at(event), locals.at(before)), ...state, ...said];
  }

  private nameOf(event: number): string {
    return this.space.events.names[event] ?? '';
  }
}

/** Runs a schedule by the shipped code, once more. */
export function replaySchedule(options: StateSpaceOptions, schedule: readonly ScheduledEvent[]): Replay {
  const player = new Player(options);
  const events: ReplayedEvent[] = [];
  for (const [i, event] of schedule.entries()) {
    const lines = player.play(event);
    if (lines === null) return { events, violation: null, impossible: i };
    events.push({ ...event, lines });
    if (player.violation !== null) break;
  }
  return { events, violation: player.violation, impossible: null };
}

const sayingsMax = 10_000;

/**
 * The same path with everything said out loud that a reduced space takes for granted: messages that were sent at once,
 * or that stood for others. Then what need not be said is left out again.
 */
export function spellOut(options: StateSpaceOptions, path: readonly PathStep[]): readonly ScheduledEvent[] {
  const player = new Player(options);
  const schedule: { readonly event: ScheduledEvent; readonly aside: boolean }[] = [];
  for (const step of path) {
    for (let said = 0; ; said++) {
      assert(said < sayingsMax, 'there is an end to what can be said');
      const event = player.play(step) === null ? player.leadingTo(step.replica, step.digest) : step;
      if (event !== null) {
        if (event !== step) player.play(event);
        schedule.push({ event: { replica: event.replica, event: event.event }, aside: false });
        break;
      }
      const saying = player.saying();
      assert(saying !== null, () => `event ${step.event} of replica ${step.replica} has no counterpart`);
      player.play(saying);
      schedule.push({ event: saying, aside: true });
    }
  }
  return withoutAsides(options, schedule);
}

/** Leaves out, one by one, what the end does not need. */
function withoutAsides(
  options: StateSpaceOptions,
  schedule: readonly { readonly event: ScheduledEvent; readonly aside: boolean }[],
): readonly ScheduledEvent[] {
  const wanted = replaySchedule(
    options,
    schedule.map(({ event }) => event),
  ).violation?.property;
  let left = schedule;
  for (let at = schedule.length - 1; at >= 0; at--) {
    if (schedule[at]?.aside !== true) continue;
    const without = left.filter((item) => item !== schedule[at]);
    const { violation, impossible } = replaySchedule(
      options,
      without.map(({ event }) => event),
    );
    if (impossible === null && violation?.property === wanted) left = without;
  }
  return left.map(({ event }) => event);
}
