import { assert, encodeUtf8, type Hasher } from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import type { CanonicalText } from './canonical-text.ts';
import type { CrashOutcome, LocalEvent } from './local.ts';

/** Digits of a message's digest in a schedule: enough to tell the messages of one world apart. */
const nameDigits = 10;

const crashName = ({ superblockKept, writes, torn, rotted }: CrashOutcome): string =>
  `x${superblockKept ? 's' : ''}${writes}${torn === 0 ? '' : `-t${torn}`}${rotted === 0 ? '' : `-r${rotted}`}`;

/** The word that names an event of one replica in a schedule. */
export function eventName(event: LocalEvent, messageDigest: (message: Message) => string): string {
  switch (event.type) {
    case 'deliver':
      return `m${messageDigest(event.message).slice(0, nameDigits)}`;
    case 'timer':
      return `t-${event.timer}`;
    case 'request':
      return `q${event.request}`;
    case 'log-written':
      return `w${event.op}-${event.id.slice(0, nameDigits)}`;
    case 'superblock-written':
      return 's';
    case 'read-done':
      return `r${event.op}-${event.id.slice(0, nameDigits)}`;
    case 'crash':
      return crashName(event.outcome);
    case 'register':
      return 'register';
  }
}

/** Everything that can happen at a replica, by number. An event has the same name in every exploration. */
export class EventTable {
  readonly events: LocalEvent[] = [];
  readonly names: string[] = [];
  /** The whole digest of a message; the name of any other event. */
  readonly digests: string[] = [];
  private readonly byDigest = new Map<string, number>();
  private readonly byName = new Map<string, number>();
  private readonly hasher: Hasher;
  private readonly write: CanonicalText;

  constructor(hasher: Hasher, write: CanonicalText) {
    this.hasher = hasher;
    this.write = write;
  }

  /** Number of the delivery of this message. */
  ofMessage(message: Message): number {
    const digest = this.hasher(encodeUtf8(this.write.of(message)));
    const known = this.byDigest.get(digest);
    if (known !== undefined) return known;
    const event = { type: 'deliver', message } as const;
    const number = this.add(
      event,
      eventName(event, () => digest),
      digest,
    );
    this.byDigest.set(digest, number);
    return number;
  }

  of(event: Exclude<LocalEvent, { type: 'deliver' }>): number {
    const name = eventName(event, () => '');
    return this.byName.get(name) ?? this.add(event, name, name);
  }

  /** Undefined when no such event has come up yet. */
  named(name: string): number | undefined {
    return this.byName.get(name);
  }

  at(number: number): LocalEvent {
    const event = this.events[number];
    assert(event !== undefined, 'an event that is numbered is known');
    return event;
  }

  private add(event: LocalEvent, name: string, digest: string): number {
    assert(!this.byName.has(name), () => `two events have the name ${name}`);
    const number = this.events.length;
    this.events.push(event);
    this.names.push(name);
    this.digests.push(digest);
    this.byName.set(name, number);
    return number;
  }
}
