import { type RandomState, randomInt, seedRandom } from '@kimberlite/base';
import type { Finding } from './exploration.ts';
import type { LocalEvent } from './local.ts';
import { sometimesBit, sometimesProperties, type SometimesProperty, type Violation } from './property.ts';
import { spellOut } from './schedule.ts';
import { type PathStep, StateSpace, type StateSpaceOptions } from './state-space.ts';
import { VisitedSet } from './tables.ts';

export interface WalkOptions extends StateSpaceOptions {
  /** Walk n of a seed is the same whatever was walked before. */
  readonly seed: number;
  /** Events of one walk at most; most end sooner, when nothing is left to happen. */
  readonly depthMax: number;
}

export interface WalkCounts {
  readonly walks: number;
  readonly steps: number;
  /** Different states met. */
  readonly states: number;
  readonly deepest: number;
}

/** Local states after which everything known about a space is dropped, so that walks go on for ever in bounded memory. */
const localStatesMax = 200_000;
const statesKeptMax = 20_000_000;

/** How likely an event is taken, beside the others that can happen: faults are many and would soon be used up. */
function weightOf(event: LocalEvent): number {
  switch (event.type) {
    case 'crash':
      return 1;
    case 'timer':
      return 4;
    default:
      return 20;
  }
}

interface Choice {
  readonly replica: number;
  readonly event: number;
  readonly state: Uint32Array;
  readonly violation: Violation | null;
  readonly weight: number;
}

/** Random schedules, deep into worlds that are too large to be explored. */
export class RandomWalks {
  finding: (Finding & { readonly walk: number }) | null = null;
  private readonly options: WalkOptions;
  private space: StateSpace;
  private visited = new VisitedSet();
  private walks = 0;
  private steps = 0;
  private states = 0;
  private deepest = 0;
  private hits = 0;

  constructor(options: WalkOptions) {
    this.options = options;
    this.space = new StateSpace(options);
  }

  get counts(): WalkCounts {
    const { walks, steps, states, deepest } = this;
    return { walks, steps, states, deepest };
  }

  get sometimes(): readonly SometimesProperty[] {
    return sometimesProperties.filter((property) => (this.hits & sometimesBit(property)) !== 0);
  }

  /** Walks until so many more are done, or a violation is found. */
  advance(walks: number): void {
    for (let i = 0; i < walks && this.finding === null; i++) this.walk();
  }

  private walk(): void {
    if (this.space.locals.size > localStatesMax) this.space = new StateSpace(this.options);
    if (this.visited.size > statesKeptMax) this.visited = new VisitedSet();
    const random = seedRandom((this.options.seed % 2 ** 31) * 2 ** 20 + this.walks);
    const path: PathStep[] = [];
    const state = this.space.root.slice();
    // Asking and being answered goes round in circles; a walk does not.
    const been = new VisitedSet();
    while (path.length < this.options.depthMax) {
      const choice = this.choose(state, random, been);
      if (choice === null) break;
      const { replica, event } = choice;
      path.push(this.space.pathStep(replica, event, choice.state));
      if (choice.violation !== null) {
        this.finding = { walk: this.walks, violation: choice.violation, schedule: spellOut(this.options, path) };
        break;
      }
      state.set(choice.state);
    }
    this.hits |= this.space.transitions.hits;
    this.walks += 1;
    this.steps += path.length;
    this.deepest = Math.max(this.deepest, path.length);
  }

  /** An event that leads where this walk has not been, by weight; a violation always. Null: there is none. */
  private choose(state: Uint32Array, random: RandomState, been: VisitedSet): Choice | null {
    const choices: Choice[] = [];
    let total = 0;
    been.add(this.space.digest(state));
    this.space.successors(state, (next) => {
      if (this.visited.add(next.digest)) this.states += 1;
      if (been.has(next.digest)) return;
      const weight = weightOf(this.space.events.at(next.event));
      total += weight;
      choices.push({ ...next, state: next.state.slice(), weight });
    });
    const broken = choices.find(({ violation }) => violation !== null);
    if (broken !== undefined || total === 0) return broken ?? null;
    let at = randomInt(random, 0, total - 1);
    for (const choice of choices) {
      at -= choice.weight;
      if (at < 0) return choice;
    }
    throw new Error('the weights do not add up');
  }
}
