import type { Call } from '../history.ts';
import type { Checker, Fail } from './checker.ts';
import type { Ledger } from './ledger.ts';
import { answerOf } from './operations.ts';

interface Marked {
  readonly idempotencyId?: unknown;
  readonly row?: { readonly value?: unknown };
  readonly set?: { readonly value?: unknown };
}

/** What tells a workload command from every other one: the value it writes, or its idempotency id. */
export function markerOf(command: unknown): string | null {
  if (typeof command !== 'object' || command === null) return null;
  const { row, set, idempotencyId }: Marked = command;
  const value = row?.value ?? set?.value ?? idempotencyId;
  return typeof value === 'string' ? value : null;
}

/** Where each of the workload's commands was executed. */
export interface Places {
  /** Positions at which commands with that marker were executed, in order; replays included. */
  readonly of: (marker: string) => readonly number[];
}

const nowhere: readonly number[] = [];

export function watchPlaces(ledger: Ledger): Places {
  const places = new Map<string, number[]>();
  ledger.onEntry(({ commands, position }) => {
    commands.forEach((command, index) => {
      const marker = markerOf(command);
      if (marker === null) return;
      const known = places.get(marker);
      if (known === undefined) places.set(marker, [position + index]);
      else known.push(position + index);
    });
  });
  return { of: (marker) => places.get(marker) ?? nowhere };
}

/**
 * What a client was told is so, in the log, for ever: at that position is that command, with that outcome; what it was
 * told did not happen is nowhere; and no call took effect more often than it was made. Unknown may be either. Every
 * replica executes what the ledger has, so one look at it is enough (pitfalls 20, 42, 67).
 */
export function calls(ledger: Ledger, places: Places, fail: Fail): Checker {
  const check = (call: Call): void => {
    const answer = answerOf(call);
    if (answer === null || call.type === 'get') return;
    const { position } = answer;
    const what = `client ${call.client} was told that ${call.marker} has position ${position}`;
    const entry = ledger.at(position);
    if (entry === undefined) return fail('nothing-lost', `${what}, which was executed nowhere`);
    const marker = markerOf(entry.commands[position - entry.position]);
    if (marker !== call.marker) return fail('nothing-lost', `${what}; there is ${marker}`);
    const outcome = entry.outcomes[position - entry.position];
    if (outcome === undefined) return fail('nothing-lost', `${what}, which has no outcome`);
    const { op, timestamp } = entry.request;
    if (answer.op !== null && answer.op !== op) fail('replies', `${what} at op ${answer.op}; it is op ${op}`);
    if (answer.type === 'rejected') {
      const code = outcome.ok ? 'applied' : outcome.error.code;
      if (code !== answer.code) fail('replies', `${what} and was rejected, ${answer.code}; it was ${code}`);
    } else if (!outcome.ok) fail('replies', `${what} and was applied; it was rejected, ${outcome.error.code}`);
    else if (answer.timestamp !== timestamp) fail('replies', `${what} at ${answer.timestamp}; it was ${timestamp}`);
  };

  return {
    name: 'nothing-lost',
    returned: check,
    ended: ({ history }) => {
      const made = new Map<string, { readonly call: Call; made: number; possible: number }>();
      for (const call of history.calls) {
        if (call.type === 'get') continue;
        const possible = call.end?.type === 'not-applied' ? 0 : 1;
        const known = made.get(call.marker);
        if (known === undefined) made.set(call.marker, { call, made: 1, possible });
        else {
          known.made += 1;
          known.possible += possible;
        }
      }
      for (const [marker, { call, made: count, possible }] of made) {
        const executed = places.of(marker);
        if (executed.length <= possible) continue;
        const where = `executed at positions ${executed.join(', ')}`;
        if (executed.length > count) fail('exactly-once', `${marker} was called ${count} times and ${where}`);
        else fail('honest-outcomes', `client ${call.client} was told ${marker} was not applied, and it was ${where}`);
      }
    },
  };
}
