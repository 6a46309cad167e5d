import type { Hasher, PrepareHeader } from '@kimberlite/base';
import type { EventTable } from './events.ts';
import type { Local } from './local.ts';
import type { LocalTable } from './locals.ts';
import { type AlwaysProperty, PropertyError, type Violation } from './property.ts';
import { EventRunner, type Ran } from './run-event.ts';
import { sometimesHits } from './sometimes.ts';
import type { LinkTable } from './links.ts';
import { PairTable } from './tables.ts';
import { replicaCount, type World } from './world.ts';

/** What one event does to one replica. Whatever the others are doing: they see only its messages. */
export interface Transition {
  /** The local state afterwards. */
  readonly to: number;
  /** Receiver and delivery, by turns. */
  readonly sent: readonly number[];
  /** The same as batches, by receiver; null: nothing. */
  readonly said: Batches | null;
  /** Numbers of prepares made by this event. */
  readonly made: readonly number[];
  readonly hits: number;
  readonly violation: Violation | null;
}

/** Numbers of batches by receiver; 0 for nothing. */
export type Batches = readonly number[];

const noBatches: Batches = Array.from({ length: replicaCount }, () => 0);

export function batchesOf(sent: readonly number[], links: LinkTable): Batches {
  return noBatches.map((_, receiver) => {
    const deliveries: number[] = [];
    for (let i = 0; i < sent.length; i += 2) if (sent[i] === receiver) deliveries.push(sent[i + 1] as number);
    return links.batch(deliveries);
  });
}

const noTransition = 1;

/**
 * A step of a replica depends on its own state and the event alone, so each is run once, by the shipped code, and looked
 * up ever after: the whole states of a world are far more than the local ones they are made of.
 */
export class TransitionTable {
  /** Steps that were really run. */
  stepsRun = 0;
  hits = 0;
  private readonly numbers = new PairTable();
  private readonly transitions: (Transition | null)[] = [null, null];
  private readonly runner: EventRunner;
  private readonly locals: LocalTable;
  private readonly events: EventTable;
  private readonly links: LinkTable;
  private readonly stateHashes = new Map<string, string>();

  constructor(parts: {
    readonly world: World;
    readonly hasher: Hasher;
    readonly ignore: ReadonlySet<AlwaysProperty>;
    readonly locals: LocalTable;
    readonly events: EventTable;
    readonly links: LinkTable;
  }) {
    const { world, hasher, ignore, locals, events, links } = parts;
    this.runner = new EventRunner(world, hasher, ignore);
    this.locals = locals;
    this.events = events;
    this.links = links;
  }

  /** Null when the event does nothing: no change, nothing said. */
  of(local: number, event: number): Transition | null {
    const known = this.numbers.get(local, event);
    if (known !== 0) return this.transitions[known] as Transition | null;
    const transition = this.compute(local, event);
    this.numbers.set(local, event, transition === null ? noTransition : this.transitions.length);
    if (transition !== null) this.transitions.push(transition);
    return transition;
  }

  /** What was looked up before; null also for what never was. */
  known(local: number, event: number): Transition | null {
    return this.transitions[this.numbers.get(local, event)] ?? null;
  }

  private compute(number: number, eventNumber: number): Transition | null {
    const { locals, events } = this;
    const before = locals.at(number);
    const event = events.at(eventNumber);
    this.stepsRun += 1;
    let ran: Ran;
    try {
      ran = this.runner.run(before, event);
      this.checkState(ran.local);
    } catch (error) {
      if (!(error instanceof PropertyError)) throw error;
      const violation = { property: error.property, message: error.message };
      return { to: number, sent: [], said: null, made: [], hits: 0, violation };
    }
    const to = locals.of(ran.local);
    const hits = sometimesHits(before, event, ran);
    this.hits |= hits;
    if (to === number && ran.sent.length === 0) return null;
    const made = madeHere(ran).map((prepare) => locals.prepares.of(prepare.id, prepare));
    const sent = ran.sent.flatMap(({ to: receiver, message }) => [receiver, events.ofMessage(message)]);
    return { to, sent, said: sent.length === 0 ? null : batchesOf(sent, this.links), made, hits, violation: null };
  }

  /** The id of an op names everything before it too, so it decides the state after it. */
  private checkState({ replica }: Local): void {
    const hash = replica.machine.stateHash(replica.state);
    const known = this.stateHashes.get(replica.appliedId);
    if (known === undefined) this.stateHashes.set(replica.appliedId, hash);
    else if (known !== hash) {
      throw new PropertyError('equal-state', `replica ${replica.self} at op ${replica.applied}: ${hash}, not ${known}`);
    }
  }
}

/** Headers of prepares that left their maker for the first time, or again in the view they were made in. */
function madeHere({ sent }: Ran): readonly PrepareHeader[] {
  const made = new Set<PrepareHeader>();
  for (const { message } of sent) {
    if (message.type === 'prepare' && message.prepare.header.view === message.view) made.add(message.prepare.header);
  }
  return [...made];
}
