import type { Call, History } from '../history.ts';
import type { Checker, Fail } from './checker.ts';
import { checkLinearizability, type Operation, type Violation } from './linearizability.ts';
import { type RegisterInput, type RegisterOutput, registerModel } from './register.ts';

/**
 * A read answers from a state no older than anything acknowledged, to anybody, before it was called. Judged by
 * op numbers; the linearizability checker judges the same by values.
 */
export function staleReads(fail: Fail): Checker {
  let acknowledgedOp = 0;
  const floorAt: { readonly at: number; readonly op: number }[] = [];
  const floorOf = (invokedAt: number): number => {
    let low = 0;
    let high = floorAt.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((floorAt[middle]?.at ?? 0) < invokedAt) low = middle + 1;
      else high = middle;
    }
    return floorAt[low - 1]?.op ?? 0;
  };
  return {
    name: 'stale-read',
    returned: ({ type, invokedAt, client, key, end }) => {
      if (end === null || (end.type !== 'ok' && end.type !== 'rejected')) return;
      if (end.op === null) return;
      const floor = floorOf(invokedAt);
      const isReplay = end.type === 'ok' && end.isReplay;
      if (!isReplay && end.op < floor) {
        fail(
          'stale-read',
          `${type} of row ${key} by client ${client} took effect at op ${end.op}, after op ${floor} was acknowledged`,
        );
      }
      if (end.op <= acknowledgedOp) return;
      acknowledgedOp = end.op;
      floorAt.push({ at: end.returnedAt, op: end.op });
    },
  };
}

/** Calls issued on one client take effect in the order they were issued. */
export function issueOrder(fail: Fail): Checker {
  return {
    name: 'issue-order',
    ended: ({ history }) => {
      const last = new Map<number, Call>();
      for (const call of history.calls) {
        const { end } = call;
        if (call.type === 'get' || end === null || (end.type !== 'ok' && end.type !== 'rejected')) continue;
        if (end.type === 'ok' && end.isReplay) continue;
        const before = last.get(call.client);
        const beforePosition = before?.end?.type === 'ok' || before?.end?.type === 'rejected' ? before.end.position : 0;
        if (end.position < beforePosition) {
          fail(
            'issue-order',
            `client ${call.client} issued ${before?.marker} before ${call.marker}; they took effect the other way round`,
          );
        }
        last.set(call.client, call);
      }
    },
  };
}

export type RowOperation = Operation<RegisterInput, RegisterOutput>;

function inputOf(call: Call): RegisterInput {
  switch (call.type) {
    case 'get':
      return { type: 'read' };
    case 'delete':
      return { type: 'delete' };
    case 'upsert':
      return { type: 'write', value: call.marker };
    case 'insert':
    case 'update':
      return { type: call.type, value: call.marker };
  }
}

/**
 * The history as the checker wants it. A replay changed nothing, so it says nothing here; both calls of a shared
 * idempotency id may have been the one that took effect, unless one was told so.
 */
export function operationsOf(history: History): RowOperation[] {
  const operations: RowOperation[] = [];
  for (const call of history.calls) {
    const { end } = call;
    if (end?.type === 'not-applied') continue;
    if (end?.type === 'ok' && end.isReplay) continue;
    if (call.type === 'get' && (end === null || end.type !== 'ok')) continue;
    const output: RegisterOutput | null =
      end?.type === 'rejected'
        ? { type: 'rejected' }
        : end?.type === 'ok'
          ? call.type === 'get'
            ? { type: 'value', value: end.value }
            : { type: 'done' }
          : null;
    operations.push({
      key: `${call.table}/${call.key}`,
      client: `client ${call.client}`,
      input: inputOf(call),
      invokedAt: call.invokedAt,
      returned: output === null || end === null ? null : { at: end.returnedAt, output },
    });
  }
  return operations;
}

export function describeViolation(violation: Violation<RegisterInput, RegisterOutput>): string {
  const lines = violation.operations.slice(-12).map(({ client, input, invokedAt, returned }) => {
    const what = 'value' in input ? `${input.type} ${input.value}` : input.type;
    const result =
      returned === null
        ? 'unknown'
        : returned.output.type === 'value'
          ? `found ${returned.output.value}`
          : returned.output.type;
    return `[${invokedAt}, ${returned?.at ?? '…'}] ${client} ${what}: ${result}`;
  });
  return `row ${violation.key} has no order that explains its ${violation.operations.length} calls; the last: ${lines.join('; ')}`;
}

/** The independent opinion: only what clients saw, and when. */
export function linearizability(fail: Fail): Checker {
  return {
    name: 'linearizability',
    ended: ({ history }) => {
      const verdict = checkLinearizability(registerModel, operationsOf(history));
      if (verdict.type === 'violation') fail('linearizability', describeViolation(verdict.violation));
      if (verdict.type === 'budget-exceeded') {
        fail('linearizability', `not decided within ${verdict.steps} steps: ${verdict.keys.join(', ')}`);
      }
    },
  };
}
