import { assert, encodeUtf8, type Hasher } from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import type { EventTable } from './events.ts';
import { type Receiver, receiverKey, whatMatters } from './receivers.ts';
import { DigestList, PairTable } from './tables.ts';

// The network: for each ordered pair of replicas the set of messages ever sent. A message in it may be delivered now,
// later, again, or never: so loss, duplication, delay and reordering are not events, they are the absence of a rule.

interface Link {
  /** Which pair it is of. */
  readonly label: number;
  /** Numbers of the deliveries, ascending. */
  readonly members: readonly number[];
}

/** Sets of messages by number. Numbers `label + 1` are the empty sets. */
export class LinkTable {
  readonly digests = new DigestList();
  private readonly links: Link[] = [];
  private readonly byKey = new Map<string, number>();
  private readonly batches: (readonly number[])[] = [[]];
  private readonly batchesByKey = new Map<string, number>([['', 0]]);
  private readonly batched = new PairTable();
  private readonly reduced = new PairTable();
  private readonly receivers: Receiver[] = [];
  private readonly receiversByKey = new Map<string, number>();
  private readonly events: EventTable;
  private readonly hasher: Hasher;

  constructor(labels: number, events: EventTable, hasher: Hasher) {
    this.events = events;
    this.hasher = hasher;
    this.links.push({ label: -1, members: [] });
    this.digests.push('0'.repeat(32));
    for (let label = 0; label < labels; label++) this.intern(label, []);
  }

  get size(): number {
    return this.links.length;
  }

  members(link: number): readonly number[] {
    return this.at(link).members;
  }

  /** Number of a list of deliveries that are sent together; 0 for an empty one. */
  batch(deliveries: readonly number[]): number {
    const ordered = [...new Set(deliveries)].sort((a, b) => a - b);
    const key = ordered.join();
    const known = this.batchesByKey.get(key);
    if (known !== undefined) return known;
    const number = this.batches.length;
    this.batches.push(ordered);
    this.batchesByKey.set(key, number);
    return number;
  }

  /** With a whole batch. */
  withBatch(link: number, batch: number): number {
    const known = this.batched.get(link, batch);
    if (known !== 0) return known;
    const { label, members } = this.at(link);
    const more = (this.batches[batch] ?? []).filter((delivery) => !members.includes(delivery));
    const grown =
      more.length === 0
        ? link
        : this.intern(
            label,
            [...members, ...more].sort((a, b) => a - b),
          );
    this.batched.set(link, batch, grown);
    return grown;
  }

  /** Number of a kind of receiver. */
  receiver(receiver: Receiver): number {
    const key = receiverKey(receiver);
    const known = this.receiversByKey.get(key);
    if (known !== undefined) return known;
    const number = this.receivers.length;
    this.receivers.push(receiver);
    this.receiversByKey.set(key, number);
    return number;
  }

  /** Only what still makes a difference to such a receiver. */
  reduce(link: number, receiver: number): number {
    const known = this.reduced.get(link, receiver);
    if (known !== 0) return known;
    const { label, members } = this.at(link);
    const messages = members.map((delivery) => this.message(delivery));
    const left = whatMatters(messages, this.receivers[receiver] as Receiver).map((m) => this.events.ofMessage(m));
    const reduced = this.intern(
      label,
      [...new Set(left)].sort((a, b) => a - b),
    );
    this.reduced.set(link, receiver, reduced);
    return reduced;
  }

  private message(delivery: number): Message {
    const event = this.events.at(delivery);
    assert(event.type === 'deliver', 'only deliveries are in these sets');
    return event.message;
  }

  private at(link: number): Link {
    const found = this.links[link];
    assert(found !== undefined, 'a set that is numbered is known');
    return found;
  }

  private intern(label: number, members: readonly number[]): number {
    const key = `${label}:${members.join()}`;
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const number = this.links.length;
    this.links.push({ label, members });
    this.byKey.set(key, number);
    // By the digests of the messages, not their numbers: the digest is that of the set, however it was come by.
    const digests = members.map((delivery) => this.events.digests[delivery]).sort();
    this.digests.push(this.hasher(encodeUtf8(`${label}:${digests.join()}`)));
    return number;
  }
}
