import { assert, type Hasher } from '@kimberlite/base';
import { BudgetTable } from './budget.ts';
import { CanonicalText } from './canonical-text.ts';
import { EventTable } from './events.ts';
import { GhostTable } from './ghosts.ts';
import { LinkTable } from './links.ts';
import { LocalTable } from './locals.ts';
import { type Move, MoveTable } from './moves.ts';
import type { AlwaysProperty, Violation } from './property.ts';
import { receiverOf } from './receivers.ts';
import { type DigestList, digestWords } from './tables.ts';
import { type Batches, TransitionTable } from './transitions.ts';
import { formView } from './warm-up.ts';
import { replicaCount, type World } from './world.ts';

// The state of a whole world, as numbers of its parts: three local states, six sets of messages, what may still
// happen, and what was committed so far.

const linkCount = replicaCount * (replicaCount - 1);
const linksAt = replicaCount;
const budgetAt = linksAt + linkCount;
const ghostAt = budgetAt + 1;
export const stateWords = ghostAt + 1;

/** Position of the set of messages from one replica to another, from 0. */
const linkOf = (from: number, to: number): number => from * (replicaCount - 1) + (to > from ? to - 1 : to);
const others = Array.from({ length: replicaCount }, (_, self) =>
  Array.from({ length: replicaCount }, (_, other) => other).filter((other) => other !== self),
);

/** One event of a schedule: at which replica, and the event's name. */
export interface ScheduledEvent {
  readonly replica: number;
  readonly event: string;
}

/** One step of a path through a reduced space. */
export interface PathStep extends ScheduledEvent {
  /** Digest of the replica's state afterwards. */
  readonly digest: string;
}

export interface Successor {
  readonly replica: number;
  readonly event: number;
  /** Reused, like its digest: valid during the call only. */
  readonly state: Uint32Array;
  readonly digest: Uint32Array;
  readonly violation: Violation | null;
}

export interface StateSpaceOptions {
  readonly world: World;
  readonly hasher: Hasher;
  /** Always-properties that are not looked at: to see what a known violation leads to. */
  readonly ignore?: readonly AlwaysProperty[];
  /**
   * Off: nothing is left out. Messages that are dead stay in the sets (see `isDead`), and events that only send are
   * events like any other instead of happening at once.
   */
  readonly reduced?: boolean;
}

/** All states of a world, made as they are asked for. */
export class StateSpace {
  readonly world: World;
  readonly events: EventTable;
  readonly locals: LocalTable;
  readonly links: LinkTable;
  readonly transitions: TransitionTable;
  /** View 1 is formed, every client has registered, everybody has heard of it, and no message is under way. */
  readonly root: Uint32Array;
  private readonly moves: MoveTable;
  private readonly ghosts: GhostTable;
  private readonly budgets: BudgetTable;
  private readonly ignore: ReadonlySet<AlwaysProperty>;
  private readonly reduced: boolean;
  private readonly receivers: number[] = [];
  private readonly crashingReceivers: number[] = [];
  private readonly next = new Uint32Array(stateWords);
  private readonly stateDigest = new Uint32Array(digestWords);
  private readonly nextDigest = new Uint32Array(digestWords);

  constructor({ world, hasher, ignore = [], reduced = true }: StateSpaceOptions) {
    this.world = world;
    this.ignore = new Set(ignore);
    this.reduced = reduced;
    const write = new CanonicalText();
    this.events = new EventTable(hasher, write);
    this.locals = new LocalTable(hasher, write);
    this.links = new LinkTable(linkCount, this.events, hasher);
    const { events, locals, links } = this;
    this.transitions = new TransitionTable({ world, hasher, ignore: this.ignore, locals, events, links });
    const { transitions } = this;
    this.moves = new MoveTable({ world, events, locals, links, transitions });
    this.ghosts = new GhostTable(locals, this.ignore.has('nothing-lost'), hasher);
    this.budgets = new BudgetTable(world, hasher);
    this.root = this.makeRoot(hasher);
  }

  private makeRoot(hasher: Hasher): Uint32Array {
    const root = new Uint32Array(stateWords);
    for (const [replica, local] of formView(this.world, hasher).entries()) root[replica] = this.locals.of(local);
    for (let link = 0; link < linkCount; link++) root[linksAt + link] = link + 1;
    root[budgetAt] = this.budgets.whole;
    let ghost = this.ghosts.none;
    for (let replica = 0; replica < replicaCount; replica++) {
      const seen = this.ghosts.see(ghost, root[replica] as number);
      assert(typeof seen === 'number', 'the replicas agree on the registration');
      ghost = seen;
    }
    root[ghostAt] = ghost;
    if (this.reduced) this.sendAtOnce(root, (1 << replicaCount) - 1);
    return root;
  }

  /** 128 bits for the whole state: the sum of the digests of its parts, each of which names its place too. */
  digest(state: Uint32Array): Uint32Array {
    const digest = new Uint32Array(digestWords);
    for (let at = 0; at < stateWords; at++) this.digestsAt(at).mix(state[at] as number, digest);
    return digest;
  }

  private digestsAt(at: number): DigestList {
    if (at < linksAt) return this.locals.digests;
    if (at < budgetAt) return this.links.digests;
    return at === budgetAt ? this.budgets.digests : this.ghosts.digests;
  }

  /** The digest of `next`, from that of the state it came from: few parts have changed. */
  private digestNext(state: Uint32Array): void {
    const { next, nextDigest } = this;
    nextDigest.set(this.stateDigest);
    for (let at = 0; at < stateWords; at++) {
      const before = state[at] as number;
      const after = next[at] as number;
      if (before === after) continue;
      const digests = this.digestsAt(at);
      digests.mix(before, nextDigest);
      digests.mix(after, nextDigest);
    }
  }

  /** How an event that led to this state is told apart. */
  pathStep(replica: number, event: number, state: Uint32Array): PathStep {
    const { events, locals } = this;
    return { replica, event: events.names[event] ?? '', digest: locals.digestOf(state[replica] as number) };
  }

  /** Calls back for everything that can happen next, in a fixed order, except what changes nothing. */
  successors(state: Uint32Array, visit: (successor: Successor) => void): void {
    const { moves, budgets, reduced } = this;
    const budget = budgets.at(state[budgetAt] as number);
    this.stateDigest.set(this.digest(state));
    for (let replica = 0; replica < replicaCount; replica++) {
      const local = state[replica] as number;
      const all = (list: readonly Move[], after: number): void => {
        for (const move of list) this.move(state, replica, move, after, visit);
      };
      for (const from of others[replica] as readonly number[]) {
        const heard = moves.heardBy(local, state[linksAt + linkOf(from, replica)] as number);
        all(heard.changes, budget.same);
        if (!reduced) all(heard.sends, budget.same);
      }
      const own = moves.ownOf(local);
      all(own.changes, budget.same);
      if (!reduced) all(own.sends, budget.same);
      for (const { event, after } of budget.requests) {
        const number = this.events.of(event);
        const transition = this.transitions.of(local, number);
        if (transition !== null) this.move(state, replica, { event: number, transition }, after, visit);
      }
      if (budget.crash === null) continue;
      for (const move of moves.crashesOf(local).changes) {
        const after = this.rots(move.event) ? budget.crashWithRot : budget.crash;
        if (after !== null) this.move(state, replica, move, after, visit);
      }
    }
  }

  private rots(number: number): boolean {
    const event = this.events.at(number);
    return event.type === 'crash' && event.outcome.rotted !== 0;
  }

  private move(
    state: Uint32Array,
    replica: number,
    { event, transition }: Move,
    budget: number,
    visit: (successor: Successor) => void,
  ): void {
    const { next, nextDigest } = this;
    next.set(state);
    next[replica] = transition.to;
    next[budgetAt] = budget;
    const broken = transition.violation ?? this.oneEach(state, transition.made);
    if (broken !== null && !this.ignore.has(broken.property)) {
      return visit({ replica, event, state: next, digest: nextDigest, violation: broken });
    }
    if (transition.violation !== null) return;
    if (this.reduced) this.reduce(state, replica);
    const heard = this.send(next, replica, transition.said);
    const violation = this.observe(state, replica);
    if (violation === null && this.reduced) this.sendAtOnce(next, heard | (1 << replica));
    this.digestNext(state);
    visit({ replica, event, state: next, digest: nextDigest, violation });
  }

  /** Which kind of receiver this replica is. */
  private receiver(state: Uint32Array, replica: number): number {
    const mayCrash = this.budgets.at(state[budgetAt] as number).crash !== null;
    const known = mayCrash ? this.crashingReceivers : this.receivers;
    const local = state[replica] as number;
    known[local] ??= this.links.receiver(receiverOf(this.locals.at(local), mayCrash));
    return known[local];
  }

  /** Takes out of the sets what has just ceased to make a difference. */
  private reduce(state: Uint32Array, moved: number): void {
    const { next, links } = this;
    const crashed = state[budgetAt] !== next[budgetAt];
    for (let replica = 0; replica < replicaCount; replica++) {
      if (replica !== moved && !crashed) continue;
      const receiver = this.receiver(next, replica);
      if (receiver === this.receiver(state, replica)) continue;
      for (const from of others[replica] as readonly number[]) {
        const at = linksAt + linkOf(from, replica);
        next[at] = links.reduce(next[at] as number, receiver);
      }
    }
  }

  /** Puts what was sent into the sets. Returns who has got something new, as bits. */
  private send(state: Uint32Array, from: number, said: Batches | null): number {
    if (said === null) return 0;
    const { links } = this;
    let heard = 0;
    for (const receiver of others[from] as readonly number[]) {
      const batch = said[receiver] as number;
      if (batch === 0) continue;
      const at = linksAt + linkOf(from, receiver);
      const before = state[at] as number;
      let after = links.withBatch(before, batch);
      if (after === before) continue;
      if (this.reduced) after = links.reduce(after, this.receiver(state, receiver));
      if (after === before) continue;
      state[at] = after;
      heard |= 1 << receiver;
    }
    return heard;
  }

  /**
   * Lets everything happen that only sends and changes no replica. The state afterwards allows every schedule that the
   * state before allowed, with the new messages never delivered, and no property asks how many messages there are: so
   * the states without them need not be visited. (Most states would be such ones: every answer not given yet.)
   *
   * `stirred`: replicas that have changed or got something new since this was last done, as bits.
   */
  private sendAtOnce(state: Uint32Array, stirred: number): void {
    const { moves } = this;
    for (let left = stirred; left !== 0; ) {
      const replica = 31 - Math.clz32(left);
      left &= ~(1 << replica);
      const local = state[replica] as number;
      left |= this.send(state, replica, moves.ownOf(local).said);
      for (const from of others[replica] as readonly number[]) {
        left |= this.send(state, replica, moves.heardBy(local, state[linksAt + linkOf(from, replica)] as number).said);
      }
    }
  }

  private observe(state: Uint32Array, moved: number): Violation | null {
    const before = state[ghostAt] as number;
    const violation = this.see(moved);
    if (violation !== null || this.next[ghostAt] === before) return violation;
    // Something was committed: every log is judged by it.
    for (const other of others[moved] as readonly number[]) {
      const lacking = this.see(other);
      if (lacking !== null) return lacking;
    }
    return null;
  }

  private see(replica: number): Violation | null {
    const seen = this.ghosts.see(this.next[ghostAt] as number, this.next[replica] as number);
    if (typeof seen !== 'number') return this.ignore.has(seen.property) ? null : seen;
    this.next[ghostAt] = seen;
    return null;
  }

  /** Has any replica another prepare of the same view at the same op? */
  private oneEach(state: Uint32Array, made: readonly number[]): Violation | null {
    const { prepares } = this.locals;
    for (const number of made) {
      const header = prepares.header(number);
      if (header === null) continue;
      for (let replica = 0; replica < replicaCount; replica++) {
        const other = this.locals.prepareAt(state[replica] as number, header.op);
        if (other === 0 || other === number || prepares.header(other)?.view !== header.view) continue;
        const message = `view ${header.view} has two prepares for op ${header.op}`;
        return { property: 'one-prepare', message };
      }
    }
    return null;
  }
}
