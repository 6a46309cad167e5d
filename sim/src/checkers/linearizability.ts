import { assert } from '@kimberlite/base';

/**
 * A linearizability checker after Wing & Gong ("Testing and verifying concurrent objects", 1993), with Lowe's
 * memory of visited configurations ("Testing for linearizability", 2017): depth-first over the orders in which
 * operations may have taken effect, never visiting the same (set of operations done, state) twice. Histories
 * are split by key first, which is sound because linearizability is local (Herlihy & Wing).
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

/** Steps tried per partition, in rounds: a violation in an easy partition is not kept waiting by a hard one. */
export const stepBudgets: readonly number[] = [4_096, 65_536, 1_048_576, 8_388_608];

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
      const found = search(model, key, operations, budget);
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

type Search = {
  readonly type: 'order' | 'impossible' | 'budget';
  readonly steps: number;
  readonly longest: readonly number[];
};

/** A call or a return, in a list from which the calls taken so far are unlinked. */
interface Entry {
  readonly index: number;
  /** Null on a return. */
  readonly returns: Entry | null;
  readonly isCall: boolean;
  next: Entry | null;
  previous: Entry | null;
}

/** Entries by time; at one time calls come before returns, so that touching calls count as concurrent. */
function entriesOf<Input, Output>(operations: readonly Operation<Input, Output>[]): Entry {
  const timed: { readonly at: number; readonly order: number; readonly entry: Entry }[] = [];
  operations.forEach((operation, index) => {
    const { returned } = operation;
    let returns: Entry | null = null;
    if (returned !== null) {
      returns = { index, returns: null, isCall: false, next: null, previous: null };
      timed.push({ at: returned.at, order: 1, entry: returns });
    }
    timed.push({
      at: operation.invokedAt,
      order: 0,
      entry: { index, returns, isCall: true, next: null, previous: null },
    });
  });
  timed.sort((a, b) => a.at - b.at || a.order - b.order || a.entry.index - b.entry.index);
  const head: Entry = { index: -1, returns: null, isCall: false, next: null, previous: null };
  let last = head;
  for (const { entry } of timed) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

function unlink(entry: Entry): void {
  if (entry.previous !== null) entry.previous.next = entry.next;
  if (entry.next !== null) entry.next.previous = entry.previous;
}

function relink(entry: Entry): void {
  if (entry.previous !== null) entry.previous.next = entry;
  if (entry.next !== null) entry.next.previous = entry;
}

/**
 * The set of operations done, cheap to name: in any history the known ones done are nearly a prefix (by time
 * of call), so their name is that prefix's length and the few beyond it. Unknown ones may stay open for
 * ever and would keep the prefix short, so they are a set of their own.
 */
class DoneSet {
  private readonly rank: Int32Array;
  private readonly known: Uint8Array;
  private readonly unknown: Set<number> = new Set();
  private prefix = 0;
  private highest = -1;

  constructor(operations: readonly Operation<unknown, unknown>[]) {
    const known = operations.flatMap((operation, index) => (operation.returned === null ? [] : [index]));
    known.sort((a, b) => (operations[a]?.invokedAt ?? 0) - (operations[b]?.invokedAt ?? 0) || a - b);
    this.rank = new Int32Array(operations.length).fill(-1);
    known.forEach((index, rank) => {
      this.rank[index] = rank;
    });
    this.known = new Uint8Array(known.length);
  }

  add(index: number): void {
    const rank = this.rank[index] ?? -1;
    if (rank < 0) {
      this.unknown.add(index);
      return;
    }
    this.known[rank] = 1;
    if (rank > this.highest) this.highest = rank;
    while (this.known[this.prefix] === 1) this.prefix += 1;
  }

  remove(index: number): void {
    const rank = this.rank[index] ?? -1;
    if (rank < 0) {
      this.unknown.delete(index);
      return;
    }
    this.known[rank] = 0;
    if (rank < this.prefix) this.prefix = rank;
    while (this.highest >= 0 && this.known[this.highest] === 0) this.highest -= 1;
  }

  name(): string {
    let text = `${this.prefix}`;
    for (let rank = this.prefix + 1; rank <= this.highest; rank++) if (this.known[rank] === 1) text += `,${rank}`;
    if (this.unknown.size > 0) text += `;${[...this.unknown].sort((a, b) => a - b).join(',')}`;
    return text;
  }
}

interface Frame<State> {
  readonly entry: Entry;
  readonly state: State;
}

function search<State, Input, Output>(
  model: Model<State, Input, Output>,
  key: string,
  operations: readonly Operation<Input, Output>[],
  budget: number,
): Search {
  const head = entriesOf(operations);
  const done = new DoneSet(operations);
  const visited = new Set<string>();
  const interned = new Map<string, number>();
  const stack: Frame<State>[] = [];
  let state = model.initial(key);
  let waiting = operations.filter((operation) => operation.returned !== null).length;
  let longest: readonly number[] = [];
  let steps = 0;
  let entry = head.next;

  /** True when this configuration is new. */
  const visit = (next: State): boolean => {
    const stateText = model.stateKey(next);
    const id = interned.get(stateText) ?? interned.size;
    if (id === interned.size) interned.set(stateText, id);
    const name = `${done.name()}/${id}`;
    if (visited.has(name)) return false;
    visited.add(name);
    return true;
  };

  while (waiting > 0) {
    if (entry !== null && entry.isCall) {
      const operation = operations[entry.index] as Operation<Input, Output>;
      steps += 1;
      if (steps > budget) return { type: 'budget', steps, longest };
      const next = model.step(state, operation.input, operation.returned === null ? null : operation.returned.output);
      done.add(entry.index);
      if (next !== null && visit(next)) {
        stack.push({ entry, state });
        state = next;
        unlink(entry);
        if (entry.returns !== null) {
          unlink(entry.returns);
          waiting -= 1;
        }
        entry = head.next;
        continue;
      }
      done.remove(entry.index);
      entry = entry.next;
      continue;
    }
    // A return of a call not yet taken (or the end): what was taken so far cannot be right; take back the last.
    if (stack.length > longest.length) longest = stack.map((frame) => frame.entry.index);
    const last = stack.pop();
    if (last === undefined) return { type: 'impossible', steps, longest };
    if (last.entry.returns !== null) {
      relink(last.entry.returns);
      waiting += 1;
    }
    relink(last.entry);
    done.remove(last.entry.index);
    state = last.state;
    entry = last.entry.next;
  }
  return { type: 'order', steps, longest: stack.map((frame) => frame.entry.index) };
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
    const found = search(model, key, beginning(operations, times[middle] ?? 0), budget);
    if (found.type === 'impossible') high = middle;
    else low = middle + 1;
  }
  const shortest = beginning(operations, times[low] ?? 0);
  const found = search(model, key, shortest, budget);
  return { key, operations: shortest, longestOrder: found.longest };
}
