import type { Model, Operation } from './linearizability.ts';

// The search of Wing & Gong with Lowe's memory, over one partition.

export interface Search {
  readonly type: 'order' | 'impossible' | 'budget';
  readonly steps: number;
  /** The longest order found, as indices into the operations; empty unless it was asked for. */
  readonly longest: readonly number[];
}

/** Calls and returns by time that are not taken yet; at one time calls come first, so that touching calls are concurrent. */
class Timeline {
  /** Node k is the call, node count + k the return of the operation with rank k; the last node is the head. */
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly count: number;

  constructor(operations: readonly Operation<unknown, unknown>[], ranked: readonly number[]) {
    const { length: count } = ranked;
    this.count = count;
    const times = new Float64Array(2 * count);
    ranked.forEach((index, rank) => {
      const operation = operations[index];
      times[rank] = operation?.invokedAt ?? 0;
      times[count + rank] = operation?.returned?.at ?? 0;
    });
    const order = Array.from(times, (_, node) => node);
    order.sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0) || a - b);
    this.next = new Int32Array(2 * count + 1).fill(-1);
    this.previous = new Int32Array(2 * count + 1).fill(-1);
    let last = 2 * count;
    for (const node of order) {
      this.next[last] = node;
      this.previous[node] = last;
      last = node;
    }
  }

  /** The operation whose return comes first; -1 when none is left. */
  firstReturn(): number {
    let node = this.next[2 * this.count] ?? -1;
    while (node >= 0 && node < this.count) node = this.next[node] ?? -1;
    return node < 0 ? -1 : node - this.count;
  }

  /** The call behind `rank`, or the first (-1), if no return comes before it; else -1. */
  callAfter(rank: number): number {
    const node = this.next[rank < 0 ? 2 * this.count : rank] ?? -1;
    return node < this.count ? node : -1;
  }

  take(rank: number): void {
    this.unlink(rank);
    this.unlink(this.count + rank);
  }

  /** In the opposite order of `take`. */
  putBack(rank: number): void {
    this.relink(this.count + rank);
    this.relink(rank);
  }

  private unlink(node: number): void {
    const [next, previous] = [this.next[node] ?? -1, this.previous[node] ?? -1];
    this.next[previous] = next;
    if (next >= 0) this.previous[next] = previous;
  }

  private relink(node: number): void {
    const next = this.next[node] ?? -1;
    this.next[this.previous[node] ?? -1] = node;
    if (next >= 0) this.previous[next] = node;
  }
}

/** Bits of a number that can hold the operations taken beyond the prefix, and states beside them. */
const windowBits = 18;
const stateBits = 12;
const prefixMax = 2 ** (52 - windowBits - stateBits);

/**
 * The configurations that were visited: operations taken, and the state they led to. Those taken are nearly a prefix
 * by time of call, so a number can mostly name them. Of the unknown ones only those are kept that were used: whoever
 * used fewer to come to the same place can do all that one with more can.
 */
class Memory {
  private readonly taken: Uint8Array;
  private prefix = 0;
  private highest = -1;
  private readonly states = new Map<string, number>();
  private readonly visited = new Map<number | string, bigint[]>();

  constructor(count: number) {
    this.taken = new Uint8Array(count + 1);
  }

  take(rank: number): void {
    this.taken[rank] = 1;
    if (rank > this.highest) this.highest = rank;
    while (this.taken[this.prefix] === 1) this.prefix += 1;
  }

  putBack(rank: number): void {
    this.taken[rank] = 0;
    if (rank < this.prefix) this.prefix = rank;
    while (this.highest >= 0 && this.taken[this.highest] === 0) this.highest -= 1;
  }

  private name(state: string): number | string {
    let id = this.states.get(state);
    if (id === undefined) {
      id = this.states.size;
      this.states.set(state, id);
    }
    const { prefix, highest, taken } = this;
    if (highest - prefix < windowBits && id < 2 ** stateBits && prefix < prefixMax) {
      let window = 0;
      for (let rank = prefix + 1; rank <= highest; rank++) window = window * 2 + (taken[rank] ?? 0);
      // The leading one tells windows of different lengths apart.
      if (highest > prefix) window += 2 ** (highest - prefix);
      return (prefix * 2 ** windowBits + window) * 2 ** stateBits + id;
    }
    let text = `${id}/${prefix}`;
    for (let rank = prefix + 1; rank <= highest; rank++) if (taken[rank] === 1) text += `,${rank}`;
    return text;
  }

  /** True when nobody was here before with these unknown ones used, or with fewer. */
  visit(state: string, unknown: bigint): boolean {
    const name = this.name(state);
    const known = this.visited.get(name);
    if (known === undefined) {
      this.visited.set(name, [unknown]);
      return true;
    }
    if (known.some((fewer) => (fewer & unknown) === fewer)) return false;
    known.push(unknown);
    return true;
  }
}

/** Unknown outcomes: each may be used once, at any time after its call, or never. */
interface Unknown {
  readonly index: number;
  readonly invokedAt: number;
  /** The one before it that does the very same; it goes first. -1: none. */
  readonly alike: number;
}

function unknownOf<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  inputs: readonly Input[],
): readonly Unknown[] {
  const unknown: Unknown[] = [];
  const lastAlike = new Map<Input, number>();
  const indices = operations.flatMap((operation, index) => (operation.returned === null ? [index] : []));
  indices.sort((a, b) => (operations[a]?.invokedAt ?? 0) - (operations[b]?.invokedAt ?? 0) || a - b);
  for (const index of indices) {
    const input = inputs[index];
    if (input === undefined) continue;
    unknown.push({ index, invokedAt: operations[index]?.invokedAt ?? 0, alike: lastAlike.get(input) ?? -1 });
    lastAlike.set(input, unknown.length - 1);
  }
  return unknown;
}

interface Frame<State> {
  readonly candidate: number;
  readonly state: State;
}

/** Before the first candidate of a configuration. */
const start = -1;

/**
 * Depth first over the orders in which the operations of one partition may have taken effect. What has to return
 * first is tried first and unknown outcomes last: nothing is taken before somebody needs it.
 */
export class WglSearch<State, Input, Output> {
  private readonly model: Model<State, Input, Output>;
  private readonly operations: readonly Operation<Input, Output>[];
  private readonly inputs: readonly Input[];
  /** Indices of the known operations, by time of call. */
  private readonly ranked: readonly number[];
  private readonly unknown: readonly Unknown[];
  private readonly timeline: Timeline;
  private readonly memory: Memory;
  private readonly stack: Frame<State>[] = [];
  private used = 0n;
  private steps = 0;
  private longest: readonly number[] = [];

  constructor(model: Model<State, Input, Output>, operations: readonly Operation<Input, Output>[]) {
    this.model = model;
    this.operations = operations;
    this.inputs = model.alike?.(operations) ?? operations.map((operation) => operation.input);
    const known = operations.flatMap((operation, index) => (operation.returned === null ? [] : [index]));
    known.sort((a, b) => (operations[a]?.invokedAt ?? 0) - (operations[b]?.invokedAt ?? 0) || a - b);
    this.ranked = known;
    this.unknown = unknownOf(operations, this.inputs);
    this.timeline = new Timeline(operations, known);
    this.memory = new Memory(known.length);
  }

  run(key: string, budget: number, keepLongest: boolean): Search {
    let state = this.model.initial(key);
    let left = this.ranked.length;
    let cursor = start;
    while (left > 0) {
      cursor = this.candidateAfter(cursor);
      if (cursor === start) {
        // Nothing that may come next explains what has to return: the last one taken was wrong.
        if (keepLongest && this.stack.length > this.longest.length) this.longest = this.order();
        const last = this.stack.pop();
        if (last === undefined) return { type: 'impossible', steps: this.steps, longest: this.longest };
        if (this.putBack(last.candidate)) left += 1;
        state = last.state;
        cursor = last.candidate;
        continue;
      }
      this.steps += 1;
      if (this.steps > budget) return { type: 'budget', steps: this.steps, longest: this.longest };
      const next = this.stepTo(state, cursor);
      if (next === null || this.isPointless(cursor, next)) continue;
      const isKnown = this.take(cursor);
      if (!this.memory.visit(this.model.stateKey(next), this.used)) {
        this.putBack(cursor);
        continue;
      }
      this.stack.push({ candidate: cursor, state });
      state = next;
      if (isKnown) left -= 1;
      cursor = start;
    }
    return { type: 'order', steps: this.steps, longest: keepLongest ? this.order() : [] };
  }

  /** Candidates: ranks of known operations, then, behind them, the unknown ones. */
  private indexOf(candidate: number): number {
    const { ranked, unknown } = this;
    return ranked[candidate] ?? unknown[candidate - ranked.length]?.index ?? 0;
  }

  private order(): readonly number[] {
    return this.stack.map(({ candidate }) => this.indexOf(candidate));
  }

  private candidateAfter(cursor: number): number {
    const { timeline, ranked } = this;
    const first = timeline.firstReturn();
    if (cursor === start) return first;
    if (cursor < ranked.length) {
      let call = timeline.callAfter(cursor === first ? -1 : cursor);
      if (call === first) call = timeline.callAfter(call);
      if (call >= 0) return call;
      return this.unknownFrom(0, first);
    }
    return this.unknownFrom(cursor - ranked.length + 1, first);
  }

  private unknownFrom(at: number, first: number): number {
    const { unknown, operations, ranked } = this;
    const until = operations[ranked[first] ?? 0]?.returned?.at ?? 0;
    for (let i = at; i < unknown.length; i++) {
      const { invokedAt, alike } = unknown[i] ?? { invokedAt: until + 1, alike: -1 };
      if (invokedAt > until) break;
      const isFree = (this.used & (1n << BigInt(i))) === 0n;
      if (isFree && (alike < 0 || (this.used & (1n << BigInt(alike))) !== 0n)) return ranked.length + i;
    }
    return start;
  }

  /**
   * An unknown one straight behind another that makes no difference to it: without the other it comes to the same, and
   * leaves more to choose from. Without this, every set of writes that somebody overwrote would be tried.
   */
  private isPointless(candidate: number, next: State): boolean {
    const last = this.stack.at(-1);
    if (last === undefined || candidate < this.ranked.length || last.candidate < this.ranked.length) return false;
    const without = this.stepTo(last.state, candidate);
    return without !== null && this.model.stateKey(without) === this.model.stateKey(next);
  }

  private stepTo(state: State, candidate: number): State | null {
    const index = this.indexOf(candidate);
    const input = this.inputs[index];
    if (input === undefined) return null;
    return this.model.step(state, input, this.operations[index]?.returned?.output ?? null);
  }

  /** True for a known operation. */
  private take(candidate: number): boolean {
    const { ranked } = this;
    if (candidate >= ranked.length) {
      this.used |= 1n << BigInt(candidate - ranked.length);
      return false;
    }
    this.timeline.take(candidate);
    this.memory.take(candidate);
    return true;
  }

  private putBack(candidate: number): boolean {
    const { ranked } = this;
    if (candidate >= ranked.length) {
      this.used &= ~(1n << BigInt(candidate - ranked.length));
      return false;
    }
    this.timeline.putBack(candidate);
    this.memory.putBack(candidate);
    return true;
  }
}
