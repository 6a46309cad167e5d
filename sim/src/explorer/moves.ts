import type { EventTable } from './events.ts';
import type { LinkTable } from './links.ts';
import type { LocalTable } from './locals.ts';
import { crashes, ownEvents } from './own-events.ts';
import { PairTable } from './tables.ts';
import { type Batches, batchesOf, type Transition, type TransitionTable } from './transitions.ts';
import type { World } from './world.ts';

export interface Move {
  readonly event: number;
  readonly transition: Transition;
}

/** What can happen at a replica in some respect: without anything that does nothing. */
export interface Moves {
  /** Changes the replica, or breaks a property. */
  readonly changes: readonly Move[];
  /** Only says something. */
  readonly sends: readonly Move[];
  /** All that these say, by receiver; null: nothing. */
  readonly said: Batches | null;
}

/** What can happen, by local state and by what it may hear. */
export class MoveTable {
  private readonly own: (Moves | undefined)[] = [];
  private readonly crashing: (Moves | undefined)[] = [];
  private readonly heard: Moves[] = [{ changes: [], sends: [], said: null }];
  private readonly numbers = new PairTable();
  private readonly parts: {
    readonly world: World;
    readonly events: EventTable;
    readonly locals: LocalTable;
    readonly links: LinkTable;
    readonly transitions: TransitionTable;
  };

  constructor(parts: MoveTable['parts']) {
    this.parts = parts;
  }

  /** By timers and the ends of disk work. */
  ownOf(local: number): Moves {
    const known = this.own[local];
    if (known !== undefined) return known;
    const { locals, events, world } = this.parts;
    const moves = this.sort(
      local,
      ownEvents(locals.at(local), world).map((event) => events.of(event)),
    );
    this.own[local] = moves;
    return moves;
  }

  crashesOf(local: number): Moves {
    const known = this.crashing[local];
    if (known !== undefined) return known;
    const { locals, events, world } = this.parts;
    const outcomes = crashes(locals.at(local), world, world.rot > 0);
    const moves = this.sort(
      local,
      outcomes.map((outcome) => events.of({ type: 'crash', outcome })),
    );
    this.crashing[local] = moves;
    return moves;
  }

  /** By the messages of one set. */
  heardBy(local: number, link: number): Moves {
    const known = this.numbers.get(local, link);
    if (known !== 0) return this.heard[known] as Moves;
    const moves = this.sort(local, this.parts.links.members(link));
    this.numbers.set(local, link, this.heard.length);
    this.heard.push(moves);
    return moves;
  }

  private sort(local: number, events: readonly number[]): Moves {
    const changes: Move[] = [];
    const sends: Move[] = [];
    for (const event of events) {
      const transition = this.parts.transitions.of(local, event);
      if (transition === null) continue;
      const onlySends = transition.to === local && transition.violation === null;
      (onlySends ? sends : changes).push({ event, transition });
    }
    const sent = sends.flatMap(({ transition }) => transition.sent);
    return { changes, sends, said: sent.length === 0 ? null : batchesOf(sent, this.parts.links) };
  }
}
