import type { Call } from '../history.ts';
import type { Checker, Execution, Fail } from './checker.ts';

const digestOf = (execution: Execution): string =>
  `${execution.request.client}/${execution.request.session} ${execution.commands.map(markerOf).join(' ')}`;

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

/** Equal positions, equal state hashes, equal work: on every replica, in every boot. */
export function stateHashes(fail: Fail): Checker {
  const known = new Map<number, { readonly hash: string; readonly digest: string; readonly replica: number }>();
  return {
    name: 'state-hash',
    executed: (execution) => {
      const { position, replica, stateHash } = execution;
      const digest = `op ${execution.request.op} ${digestOf(execution)}`;
      const first = known.get(position);
      if (first === undefined) known.set(position, { hash: stateHash, digest, replica });
      else if (first.digest !== digest) {
        fail(
          'agreement',
          `position ${position} is "${first.digest}" at replica ${first.replica}, "${digest}" at replica ${replica}`,
        );
      } else if (first.hash !== stateHash) {
        fail(
          'state-hash',
          `position ${position}: ${first.hash} at replica ${first.replica}, ${stateHash} at ${replica}`,
        );
      }
    },
  };
}

/** Each op has one timestamp, later than that of every op before it. */
export function timestamps(fail: Fail): Checker {
  const known = new Map<number, number>();
  const last = new Map<number, { readonly op: number; readonly timestamp: number }>();
  return {
    name: 'timestamps',
    executed: ({ replica, request: { op, timestamp } }) => {
      const first = known.get(op);
      if (first === undefined) known.set(op, timestamp);
      else if (first !== timestamp) fail('timestamps', `op ${op} has timestamps ${first} and ${timestamp}`);
      const before = last.get(replica);
      if (before !== undefined && before.op < op && before.timestamp >= timestamp) {
        fail('timestamps', `op ${op} at ${timestamp} comes after op ${before.op} at ${before.timestamp}`);
      }
      last.set(replica, { op, timestamp });
    },
    down: (replica) => last.delete(replica),
  };
}

/** No command is executed at two places of the log, and none at the same place twice. */
export function exactlyOnce(fail: Fail): Checker {
  const placeOf = new Map<string, number>();
  const lastPosition = new Map<number, number>();
  /** Idempotency ids shared by two calls: one of them takes effect. */
  const first = new Map<string, number>();
  return {
    name: 'exactly-once',
    executed: ({ replica, commands, outcomes, position }) => {
      const before = lastPosition.get(replica) ?? 0;
      if (position - commands.length < before) {
        fail('exactly-once', `replica ${replica} executes position ${position} after ${before}`);
      }
      lastPosition.set(replica, position);
      commands.forEach((command, index) => {
        const at = position - commands.length + 1 + index;
        const marker = markerOf(command);
        if (marker === null) return;
        const outcome = outcomes[index];
        if (marker.startsWith('shared-')) {
          if (outcome?.ok !== true || outcome.isReplay) return;
          const known = first.get(marker);
          if (known === undefined) first.set(marker, at);
          else if (known !== at) fail('exactly-once', `${marker} took effect at position ${known} and again at ${at}`);
          return;
        }
        const known = placeOf.get(marker);
        if (known === undefined) placeOf.set(marker, at);
        else if (known !== at) fail('exactly-once', `${marker} was executed at position ${known} and again at ${at}`);
      });
    },
    down: (replica) => lastPosition.delete(replica),
  };
}

/**
 * What a client was told happened is what the log has at that place, at every replica and at the end; and what it
 * was told did not happen is nowhere. A replica that comes back without an acknowledged op either never reaches
 * its position again (seen at the end) or has something else there (seen at once).
 */
export function nothingLost(fail: Fail): Checker {
  const told = new Map<number, Call>();
  const executedAt = new Map<number, string>();
  const markers = new Set<string>();
  const clash = (position: number, call: Call, found: string): void =>
    fail('nothing-lost', `client ${call.client} was told ${call.marker} has position ${position}; there is ${found}`);
  return {
    name: 'nothing-lost',
    executed: ({ commands, position }) => {
      commands.forEach((command, index) => {
        const at = position - commands.length + 1 + index;
        const marker = markerOf(command) ?? '';
        executedAt.set(at, marker);
        markers.add(marker);
        const call = told.get(at);
        if (call !== undefined && call.marker !== marker) clash(at, call, marker);
      });
    },
    returned: (call) => {
      const { end } = call;
      if (call.type === 'get' || end === null || (end.type !== 'ok' && end.type !== 'rejected')) return;
      if (end.type === 'ok' && end.isReplay) return;
      told.set(end.position, call);
      const found = executedAt.get(end.position);
      if (found === undefined) fail('nothing-lost', `position ${end.position} was acknowledged but executed nowhere`);
      else if (found !== call.marker) clash(end.position, call, found);
    },
    ended: ({ replicas, history }) => {
      let highest = 0;
      for (const { end } of history.calls) {
        if (end?.type === 'ok' || end?.type === 'rejected') highest = Math.max(highest, end.position);
      }
      for (const replica of replicas) {
        const reached = replica.machine.position(replica.state);
        if (reached < highest) {
          fail('nothing-lost', `position ${highest} was acknowledged; replica ${replica.self} ends at ${reached}`);
        }
      }
      for (const call of history.calls) {
        if (call.end?.type === 'not-applied' && call.idempotencyId === null && markers.has(call.marker)) {
          fail('honest-outcomes', `client ${call.client} was told ${call.marker} was not applied, and it was`);
        }
      }
    },
  };
}
