import { assert } from '@kimberlite/base';
import { WglSearch } from './wgl-search.ts';

/**
 * A linearizability checker after Wing & Gong ("Testing and verifying concurrent objects", 1993), with Lowe's
 * memory of visited configurations ("Testing for linearizability", 2017): depth-first over the orders in which
 * operations may have taken effect (`wgl-search.ts`), never visiting the same (set of operations done, state) twice.
 * Histories are split by key first, which is sound because linearizability is local (Herlihy & Wing).
 */

/** One call of a history. Times are any numbers that grow; calls that touch at one time count as concurrent. */
export interface Operation<Input, Output> {
  /** Operations on different keys have nothing to do with each other. */
  readonly key: string;
  /** Who called; only for reading a violation. */
  readonly client: string;
  readonly input: Input;
  readonly invokedAt: number;
  /** Null: the outcome is unknown; it may take effect at any time after its call, or never. */
  readonly returned: { readonly at: number; readonly output: Output } | null;
}

/** A sequential object. States are values: `step` returns a new one and leaves the old one alone. */
export interface Model<State, Input, Output> {
  readonly initial: (key: string) => State;
  /**
   * The state after the call, or null when `output` is not what it gives in this state.
   * `output` is null for an unknown outcome: then any is right.
   */
  readonly step: (state: State, input: Input, output: Output | null) => State | null;
  /** Equal exactly for equal states. */
  readonly stateKey: (state: State) => string;
  /**
   * The inputs of one partition, those that make no difference to what can be seen there made the same object: a
   * value that nobody read is like any other. Fewer states, same verdict.
   */
  readonly alike?: (operations: readonly Operation<Input, Output>[]) => readonly Input[];
}

export interface Violation<Input, Output> {
  readonly key: string;
  /** The shortest beginning of the partition that no order explains; calls still open at its end are unknown in it. */
  readonly operations: readonly Operation<Input, Output>[];
  /** The longest order found that explains a beginning of it, as indices into `operations`. */
  readonly longestOrder: readonly number[];
}

export type LinearizabilityVerdict<Input, Output> =
  | { readonly type: 'ok'; readonly partitions: number; readonly steps: number }
  | { readonly type: 'violation'; readonly violation: Violation<Input, Output>; readonly steps: number }
  /** Keys whose partitions were not decided within the largest budget. */
  | { readonly type: 'budget-exceeded'; readonly keys: readonly string[]; readonly steps: number };

/**
 * Steps tried per partition, in rounds: a violation in an easy partition is not kept waiting by a hard one. Each step
 * is remembered, so the last also bounds the memory, at some hundred bytes a step.
 */
export const stepBudgets: readonly number[] = [4_096, 65_536, 1_048_576, 2_097_152];

export function checkLinearizability<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  budgets: readonly number[] = stepBudgets,
): LinearizabilityVerdict<Input, Output> {
  const partitions = partitionByKey(history);
  let open = [...partitions.entries()].sort((a, b) => a[1].length - b[1].length);
  let steps = 0;
  for (const budget of budgets) {
    const undecided: typeof open = [];
    for (const [key, operations] of open) {
      const found = new WglSearch(model, operations).run(key, budget, false);
      steps += found.steps;
      if (found.type === 'budget') undecided.push([key, operations]);
      else if (found.type === 'impossible') {
        const violation = shortestViolation(model, key, operations, budget);
        return { type: 'violation', violation, steps };
      }
    }
    open = undecided;
    if (open.length === 0) return { type: 'ok', partitions: partitions.size, steps };
  }
  return { type: 'budget-exceeded', keys: open.map(([key]) => key), steps };
}

function partitionByKey<Input, Output>(
  history: readonly Operation<Input, Output>[],
): Map<string, Operation<Input, Output>[]> {
  const partitions = new Map<string, Operation<Input, Output>[]>();
  for (const operation of history) {
    assert(
      operation.returned === null || operation.returned.at >= operation.invokedAt,
      'an operation returns after it was called',
    );
    const partition = partitions.get(operation.key);
    if (partition === undefined) partitions.set(operation.key, [operation]);
    else partition.push(operation);
  }
  return partitions;
}

/** The beginning of a history up to a time: what returns later is unknown in it, what is called later is not in it. */
function beginning<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  until: number,
): Operation<Input, Output>[] {
  return operations
    .filter((operation) => operation.invokedAt <= until)
    .map((operation) =>
      operation.returned !== null && operation.returned.at > until ? { ...operation, returned: null } : operation,
    );
}

/** A beginning of a linearizable history is linearizable, so the shortest that is not is found by halving. */
function shortestViolation<State, Input, Output>(
  model: Model<State, Input, Output>,
  key: string,
  operations: readonly Operation<Input, Output>[],
  budget: number,
): Violation<Input, Output> {
  const times = operations.flatMap((operation) => (operation.returned === null ? [] : [operation.returned.at]));
  times.sort((a, b) => a - b);
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const found = new WglSearch(model, beginning(operations, times[middle] ?? 0)).run(key, budget, false);
    if (found.type === 'impossible') high = middle;
    else low = middle + 1;
  }
  const shortest = beginning(operations, times[low] ?? 0);
  const found = new WglSearch(model, shortest).run(key, budget, true);
  return { key, operations: shortest, longestOrder: found.longest };
}
