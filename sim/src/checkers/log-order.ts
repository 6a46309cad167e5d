import type { Call } from '../history.ts';
import type { Checker, Fail } from './checker.ts';
import type { Places } from './calls.ts';
import { answerOf, type LogicalOperation, operationsOf } from './operations.ts';
import { registerModel, type RegisterState } from './register.ts';
import type { Ledger } from './ledger.ts';

/** Positions acknowledged to anybody, by the time of the answer. */
class Acknowledged {
  private readonly times: number[] = [];
  private readonly positions: number[] = [];

  /** Times come in order. */
  add(at: number, position: number): void {
    if (position <= (this.positions.at(-1) ?? 0)) return;
    this.times.push(at);
    this.positions.push(position);
  }

  /** The highest position of which somebody knew before that time. */
  before(time: number): number {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.times[middle] ?? 0) < time) low = middle + 1;
      else high = middle;
    }
    return this.positions[low - 1] ?? 0;
  }
}

/** An operation at its place in the log. */
interface Placed {
  readonly operation: LogicalOperation;
  readonly position: number;
  readonly isRead: boolean;
}

/**
 * Linearizability the short way: the log says in which order everything took effect, so that order must agree with
 * real time, and running it on plain rows must give what the clients were told. Says nothing of its own about whether
 * there is another order; the search does that, and knows nothing of positions.
 */
export function logOrder(ledger: Ledger, places: Places, fail: Fail): Checker {
  const acknowledged = new Acknowledged();

  /** The order agrees with real time: a call takes effect after everything acknowledged before it was made. */
  const checkTime = (call: Call, position: number, invokedAt: number): void => {
    const floor = acknowledged.before(invokedAt);
    const isRead = call.type === 'get';
    if (isRead ? position >= floor : position > floor) return;
    fail(
      isRead ? 'stale-read' : 'log-order',
      `${call.type} of row ${call.key} by client ${call.client} took effect at position ${position}, after position ${floor} was acknowledged`,
    );
  };

  const place = (operation: LogicalOperation): Placed | null => {
    const [first] = operation.calls;
    if (first === undefined) return null;
    if (first.type === 'get') {
      const answer = answerOf(first);
      return answer === null ? null : { operation, position: answer.position, isRead: true };
    }
    // Where it took effect first; whatever of it came later was a replay.
    const position = places.of(first.marker)[0];
    return position === undefined ? null : { operation, position, isRead: false };
  };

  const checkValues = (row: string, placed: readonly Placed[]): void => {
    let state: RegisterState = registerModel.initial(row);
    for (const { operation, position, isRead } of placed) {
      const next = registerModel.step(state, operation.input, operation.returned?.output ?? null);
      if (next === null) {
        const { type } = operation.input;
        const told = operation.returned?.output;
        const found = told?.type === 'value' ? `found ${told.value}` : told?.type;
        fail(
          'log-order',
          `${type} of row ${row} by ${operation.client} at position ${position}: ${found}; the log has ${state.value} there`,
        );
        return;
      }
      if (!isRead) state = next;
    }
  };

  return {
    name: 'log-order',
    returned: (call) => {
      const answer = answerOf(call);
      if (answer === null) return;
      const isReplay = answer.type === 'ok' && answer.isReplay;
      if (!isReplay) checkTime(call, answer.position, call.invokedAt);
      acknowledged.add(answer.returnedAt, answer.position);
    },
    ended: ({ history }) => {
      const rows = new Map<string, Placed[]>();
      for (const operation of operationsOf(history)) {
        const placed = place(operation);
        if (placed === null) continue;
        const [first] = operation.calls;
        // The answered ones were looked at when they were answered.
        if (operation.returned === null && first !== undefined) checkTime(first, placed.position, operation.invokedAt);
        const row = rows.get(operation.key);
        if (row === undefined) rows.set(operation.key, [placed]);
        else row.push(placed);
      }
      for (const [row, placed] of rows) {
        placed.sort((a, b) => a.position - b.position || Number(a.isRead) - Number(b.isRead));
        checkValues(row, placed);
      }
      if (ledger.entries.length === 0 && rows.size > 0)
        fail('log-order', 'calls were answered, and nothing was executed');
    },
  };
}

/**
 * Commands issued on one client take effect in the order in which they were issued, and a read sees all that were
 * issued before it. (That it sees none issued after it is judged where the read arrives: one that has to be asked
 * again after a failover may.)
 */
export function issueOrder(fail: Fail): Checker {
  return {
    name: 'issue-order',
    ended: ({ history }) => {
      const last = new Map<number, { readonly call: Call; readonly position: number }>();
      for (const call of history.calls) {
        const answer = answerOf(call);
        if (answer === null || (answer.type === 'ok' && answer.isReplay)) continue;
        const { position } = answer;
        const isRead = call.type === 'get';
        const before = last.get(call.client);
        const behind = before !== undefined && (isRead ? position < before.position : position <= before.position);
        if (behind) {
          const name = isRead ? `a read of row ${call.key}` : call.marker;
          fail(
            'issue-order',
            `client ${call.client} issued ${before.call.marker} before ${name}; they took effect at positions ${before.position} and ${position}`,
          );
        }
        if (!isRead) last.set(call.client, { call, position });
      }
    },
  };
}
