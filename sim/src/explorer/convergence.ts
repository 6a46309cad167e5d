import { assert } from '@kimberlite/base';
import type { Finding } from './exploration.ts';
import type { Violation } from './property.ts';
import type { Subject } from './replica-fields.ts';
import { spellOut } from './schedule.ts';
import { type PathStep, StateSpace, type StateSpaceOptions, stateWords, type Successor } from './state-space.ts';
import { NumberList } from './tables.ts';
import { replicaCount } from './world.ts';

export interface ConvergenceOptions extends StateSpaceOptions {
  /** Gives up at so many states: all of them, and all events between them, are kept in memory. */
  readonly statesMax: number;
}

export interface ConvergenceCounts {
  readonly states: number;
  /** States in which the replicas have come to agree. */
  readonly settled: number;
}

const noParent = 0xffff_ffff;

/**
 * Can the replicas always come to agree again? Visits every state of a world and looks for one from which no schedule
 * without another crash leads to three replicas in normal status in one view, with one log, all of it committed. What
 * is found in the last view of a world may be the work of its bounds: then a world with one more view change tells.
 */
export class Convergence {
  finding: Finding | null = null;
  readonly options: ConvergenceOptions;
  private readonly space: StateSpace;
  private readonly numbers = new Map<string, number>();
  private readonly states: Uint32Array[] = [];
  private readonly parents = new NumberList();
  private readonly parentEvents = new NumberList();
  private readonly parentReplicas = new NumberList();
  /** The events, as pairs of states; those of crashes left out. */
  private readonly from = new NumberList();
  private readonly to = new NumberList();
  private expanded = 0;
  private settled = 0;

  constructor(options: ConvergenceOptions) {
    this.options = options;
    this.space = new StateSpace(options);
    this.meet(this.space.root, this.space.digest(this.space.root), { from: noParent, event: 0, replica: 0 });
  }

  get counts(): ConvergenceCounts {
    return { states: this.states.length, settled: this.settled };
  }

  get isFull(): boolean {
    return this.states.length >= this.options.statesMax;
  }

  get isDone(): boolean {
    return this.finding !== null || this.expanded === this.states.length;
  }

  /** Expands up to so many states; the last call comes to the verdict. */
  advance(states: number): void {
    for (let i = 0; i < states && !this.isDone && !this.isFull; i++) {
      const state = this.states[this.expanded];
      assert(state !== undefined, 'a state that is met is kept');
      this.space.successors(state, this.visit);
      this.expanded += 1;
    }
    if (this.isDone && this.finding === null) this.judge();
  }

  private readonly visit = ({ replica, event, state, digest, violation }: Successor): void => {
    if (violation !== null) {
      this.finding ??= this.found(violation, this.expanded, this.space.pathStep(replica, event, state));
      return;
    }
    const to = this.meet(state, digest, { from: this.expanded, event, replica });
    if (this.space.events.at(event).type === 'crash') return;
    this.from.push(this.expanded);
    this.to.push(to);
  };

  /** The number of a state, new or known. */
  private meet(
    state: Uint32Array,
    digest: Uint32Array,
    by: { readonly from: number; readonly event: number; readonly replica: number },
  ): number {
    const key = digest.join();
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.states.length;
    this.numbers.set(key, number);
    this.states.push(state.slice());
    this.parents.push(by.from);
    this.parentEvents.push(by.event);
    this.parentReplicas.push(by.replica);
    return number;
  }

  private judge(): void {
    const stuck = this.leadingToAgreement().indexOf(0);
    if (stuck < 0) return;
    const message = 'from here no schedule leads to three replicas that agree';
    this.finding = this.found({ property: 'converges', message }, stuck, null);
  }

  /** Marks every state from which an agreement can be reached, from the agreements backwards. */
  private leadingToAgreement(): Uint8Array {
    const settling = new Uint8Array(this.states.length);
    const left: number[] = [];
    for (const [number, state] of this.states.entries()) {
      if (!agree(this.replicasIn(state))) continue;
      settling[number] = 1;
      left.push(number);
    }
    this.settled = left.length;
    const into = this.eventsInto();
    for (let at = left.pop(); at !== undefined; at = left.pop()) {
      for (let edge = into.first[at] as number; edge !== 0; edge = into.next[edge] as number) {
        const before = this.from.get(edge - 1);
        if (settling[before] === 1) continue;
        settling[before] = 1;
        left.push(before);
      }
    }
    return settling;
  }

  /** For each state the events that lead there, as a chain: numbers from 1, 0 at its end. */
  private eventsInto(): { readonly first: Uint32Array; readonly next: Uint32Array } {
    const first = new Uint32Array(this.states.length);
    const next = new Uint32Array(this.to.length + 1);
    for (let edge = 1; edge <= this.to.length; edge++) {
      const to = this.to.get(edge - 1);
      next[edge] = first[to] as number;
      first[to] = edge;
    }
    return { first, next };
  }

  private replicasIn(state: Uint32Array): readonly Subject[] {
    return Array.from({ length: replicaCount }, (_, i) => this.space.locals.at(state[i] as number).replica);
  }

  private found(violation: Violation, number: number, last: PathStep | null): Finding {
    const path: PathStep[] = last === null ? [] : [last];
    for (let at = number; this.parents.get(at) !== noParent; at = this.parents.get(at)) {
      const state = this.states[at];
      assert(state !== undefined && state.length === stateWords, 'a state that is met is kept');
      path.push(this.space.pathStep(this.parentReplicas.get(at), this.parentEvents.get(at), state));
    }
    return { violation, schedule: spellOut(this.options, path.reverse()) };
  }
}

/** Three replicas in normal status in one view, with one log, and its primary has committed and executed all of it. */
function agree(replicas: readonly Subject[]): boolean {
  const [first] = replicas;
  if (first === undefined) return false;
  const { view, head } = first;
  const id = first.log.get(head)?.id;
  const alike = replicas.every((r) => r.status === 'normal' && r.view === view && r.head === head);
  if (!alike || !replicas.every((r) => r.log.get(head)?.id === id)) return false;
  const primary = replicas[view % replicaCount];
  return primary?.commit === head && primary.applied === head;
}
