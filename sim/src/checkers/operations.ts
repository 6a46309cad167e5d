import type { Call, CallEnd, History } from '../history.ts';
import type { Operation } from './linearizability.ts';
import type { RegisterInput, RegisterOutput } from './register.ts';

export type RowOperation = Operation<RegisterInput, RegisterOutput>;

/** An operation with the calls it stands for: one, or all that share an idempotency id. */
export interface LogicalOperation extends RowOperation {
  readonly calls: readonly Call[];
}

type Answered = Extract<CallEnd, { readonly type: 'ok' | 'rejected' }>;

/** The end of a call that was told what happened; null for all others. */
export const answerOf = ({ end }: Call): Answered | null =>
  end !== null && (end.type === 'ok' || end.type === 'rejected') ? end : null;

const isReplay = (call: Call): boolean => call.end?.type === 'ok' && call.end.isReplay;

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

function outputOf(call: Call): RegisterOutput | null {
  const { end } = call;
  if (end?.type === 'rejected') return { type: 'rejected' };
  if (end?.type !== 'ok') return null;
  return call.type === 'get' ? { type: 'value', value: end.value } : { type: 'done' };
}

function operationOf(call: Call, calls: readonly Call[], from: number, returnedAt: number | null): LogicalOperation {
  const output = outputOf(call);
  return {
    key: `${call.table}/${call.key}`,
    client: `client ${call.client}`,
    input: inputOf(call),
    invokedAt: from,
    returned: output === null || returnedAt === null ? null : { at: returnedAt, output },
    calls,
  };
}

/**
 * Calls that share an idempotency id are one operation: whichever came first took effect, the others changed nothing.
 * It began no sooner than the first of them that may have been it, and had happened when any of them was answered.
 */
function sharedOperation(calls: readonly Call[]): LogicalOperation | null {
  const answered = calls.filter((call) => answerOf(call) !== null);
  const original = answered.find((call) => !isReplay(call));
  const candidates = original === undefined ? calls.filter((call) => answerOf(call) === null) : [original];
  const from = (candidates.length > 0 ? candidates : calls).map((call) => call.invokedAt);
  const ends = answered.map((call) => call.end?.returnedAt ?? 0);
  const [first] = answered.length > 0 ? [original ?? answered[0]] : calls;
  if (first === undefined) return null;
  return operationOf(first, calls, Math.min(...from), ends.length > 0 ? Math.min(...ends) : null);
}

/**
 * What the clients did, as the history checkers want it. Reads that were not answered and commands that were certainly
 * not applied say nothing.
 */
export function operationsOf(history: History): LogicalOperation[] {
  const operations: LogicalOperation[] = [];
  const shared = new Map<string, Call[]>();
  for (const call of history.calls) {
    if (call.end?.type === 'not-applied' || (call.type === 'get' && answerOf(call) === null)) continue;
    const { idempotencyId } = call;
    const same = idempotencyId === null ? undefined : shared.get(idempotencyId);
    if (idempotencyId === null) {
      operations.push(operationOf(call, [call], call.invokedAt, answerOf(call)?.returnedAt ?? null));
    } else if (same === undefined) shared.set(idempotencyId, [call]);
    else same.push(call);
  }
  for (const calls of shared.values()) {
    const operation = sharedOperation(calls);
    if (operation !== null) operations.push(operation);
  }
  return operations;
}
