import { assert } from '@kimberlite/base';
import type { Violation } from './property.ts';
import { sometimesBit, sometimesProperties, type SometimesProperty } from './property.ts';
import { RecordList, type Spill } from './records.ts';
import { spellOut } from './schedule.ts';
import {
  type PathStep,
  type ScheduledEvent,
  StateSpace,
  type StateSpaceOptions,
  stateWords,
  type Successor,
} from './state-space.ts';
import { VisitedSet } from './tables.ts';

export interface ExplorationOptions extends StateSpaceOptions {
  /** Stops, with the search unfinished, at so many states. */
  readonly statesMax?: number;
  readonly spill?: Spill;
  /** Blocks of the frontier, and of the links to predecessors, that stay in memory when there is a spill. */
  readonly blocksKept?: number;
  /** Words of a block; 4 MiB unless given. */
  readonly blockWords?: number;
}

export interface Finding {
  readonly violation: Violation;
  readonly schedule: readonly ScheduledEvent[];
}

export interface ExplorationCounts {
  readonly states: number;
  /** Events that lead from a visited state to another one, known or new. */
  readonly transitions: number;
  /** Longest shortest schedule to a state visited so far. */
  readonly depth: number;
  /** Different states of a single replica. */
  readonly localStates: number;
  /** Runs of the shipped `step`; every other transition was looked up. */
  readonly stepsRun: number;
  readonly frontier: number;
}

/** 256 MiB of each list in memory. */
const blocksKeptDefault = 64;
const parentWords = 2;
const replicaBits = 2;

/**
 * Breadth-first over every schedule of a world: the first violation found has a shortest schedule. Runs in slices, so
 * that its caller can look at a clock or a person between them.
 */
export class Exploration {
  readonly space: StateSpace;
  readonly options: ExplorationOptions;
  finding: Finding | null = null;
  private readonly visited = new VisitedSet();
  private readonly frontier: RecordList;
  /** For each state its predecessor, and the replica and event that led from there. */
  private readonly parents: RecordList;
  private readonly statesMax: number;
  private expanded = 0;
  private transitions = 0;
  private depth = 0;
  private levelEnd = 1;
  private readonly state = new Uint32Array(stateWords);
  private readonly parent = new Uint32Array(parentWords);

  constructor(options: ExplorationOptions) {
    this.options = options;
    this.space = new StateSpace(options);
    const { spill = null, blocksKept = blocksKeptDefault, blockWords } = options;
    const blocks = { spill, blocksKept, ...(blockWords === undefined ? {} : { blockWords }) };
    this.frontier = new RecordList({ name: 'frontier', words: stateWords, ...blocks });
    this.parents = new RecordList({ name: 'parents', words: parentWords, ...blocks });
    this.statesMax = options.statesMax ?? Number.MAX_SAFE_INTEGER;
    this.visited.add(this.space.digest(this.space.root));
    this.frontier.push(this.space.root);
    this.parents.push(this.parent);
  }

  get counts(): ExplorationCounts {
    const { space, transitions, depth } = this;
    const localStates = space.locals.size - 1;
    const { stepsRun } = space.transitions;
    return {
      states: this.frontier.length,
      transitions,
      depth,
      localStates,
      stepsRun,
      frontier: this.frontier.length - this.expanded,
    };
  }

  /** Every state within the bounds was visited, or a violation found. */
  get isDone(): boolean {
    return this.finding !== null || this.expanded === this.frontier.length;
  }

  get isFull(): boolean {
    return this.frontier.length >= this.statesMax;
  }

  /** What was seen at least once. */
  get sometimes(): readonly SometimesProperty[] {
    return sometimesProperties.filter((property) => (this.space.transitions.hits & sometimesBit(property)) !== 0);
  }

  /** Expands up to so many states. */
  advance(states: number): void {
    for (let i = 0; i < states && !this.isDone && !this.isFull; i++) this.expandNext();
    this.frontier.forgetBefore(this.expanded);
  }

  private expandNext(): void {
    if (this.expanded === this.levelEnd) {
      this.levelEnd = this.frontier.length;
    }
    this.frontier.read(this.expanded, this.state);
    const before = this.frontier.length;
    this.space.successors(this.state, this.visit);
    if (this.frontier.length > before && before === this.levelEnd) this.depth += 1;
    this.expanded += 1;
  }

  private readonly visit = ({ replica, event, state, digest, violation }: Successor): void => {
    if (this.finding !== null) return;
    this.transitions += 1;
    if (violation !== null) {
      this.finding = {
        violation,
        schedule: spellOut(this.options, [...this.pathTo(this.expanded), this.space.pathStep(replica, event, state)]),
      };
      return;
    }
    if (!this.visited.add(digest)) return;
    this.frontier.push(state);
    this.parent[0] = this.expanded;
    this.parent[1] = event * (1 << replicaBits) + replica;
    this.parents.push(this.parent);
  };

  /** A shortest way from the beginning to the state with this number. */
  private pathTo(number: number): readonly PathStep[] {
    const codes: number[] = [];
    const parent = new Uint32Array(parentWords);
    for (let at = number; at !== 0; at = parent[0] as number) {
      this.parents.read(at, parent);
      codes.push(parent[1] as number);
    }
    const path: PathStep[] = [];
    let state = this.space.root.slice();
    for (const code of codes.reverse()) {
      const replica = code & ((1 << replicaBits) - 1);
      const event = code >>> replicaBits;
      let after: Uint32Array | null = null;
      this.space.successors(state, (next) => {
        if (next.replica === replica && next.event === event) after = next.state.slice();
      });
      assert(after !== null, 'a way that was gone can be gone again');
      state = after;
      path.push(this.space.pathStep(replica, event, state));
    }
    return path;
  }
}
