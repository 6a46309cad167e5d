import { op, timestamp, view } from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { recoverImage } from './durable-image.ts';
import type { Local } from './local.ts';
import { replicaCount } from './world.ts';

// Which messages still make a difference to whoever gets them. A message that makes none is taken out of the sets, so
// that states that differ only in it are one state. Each rule below says why its messages make none, now or ever.

/** What the rules ask about a receiver. */
export interface Receiver {
  /** It will never again be in a view below this one. */
  readonly leastView: number;
  /** The view in which it is normal; 0 if it is not. */
  readonly normalView: number;
  readonly primary: boolean;
  /** Its log in `normalView` will never again end below this op while it is in that view. */
  readonly settledHead: number;
  /** The view in its memory: it is never again the normal primary of a lower one. */
  readonly view: number;
  /** As primary in normal status: it has no more use for acks of ops up to here. */
  readonly commit: number;
  /** As primary in normal status: whose acks it has counted, by op. */
  readonly acks: ReadonlyMap<number, number>;
}

const noAcks: ReadonlyMap<number, number> = new Map();

/** A crash takes a replica back to what its disk has; without one, neither view nor head within a view goes back. */
export function receiverOf({ replica: r, image }: Local, mayCrash: boolean): Receiver {
  const { superblock } = image;
  const normalView = r.status === 'normal' ? r.view : 0;
  // After a crash with all writes lost the replica is normal again in this view, or unsure of its head.
  const durableHead =
    superblock.logView === superblock.view && superblock.view === normalView ? recoverImage(image).head : 0;
  const primary = normalView !== 0 && normalView % replicaCount === r.self;
  return {
    leastView: mayCrash ? superblock.view : r.view,
    normalView,
    primary,
    settledHead: mayCrash ? Math.min(r.head, durableHead) : r.head,
    view: r.view,
    commit: primary ? r.commit : 0,
    acks: primary ? r.acks : noAcks,
  };
}

export function receiverKey(receiver: Receiver): string {
  const { leastView, normalView, primary, settledHead, view: inMemory, commit, acks } = receiver;
  const counted = [...acks].map(([at, set]) => `${at}:${set}`).sort();
  return `${leastView}/${normalView}${primary ? 'p' : 'b'}${settledHead}/${inMemory}/${commit}/${counted.join()}`;
}

/**
 * An ack that was counted counts once; and a primary that has left its view, by a vote or a crash, is never again the
 * normal primary of it (a property that is looked at, so that this rule may rely on it).
 */
function isSpentAck(ack: Extract<Message, { type: 'prepare-ok' }>, receiver: Receiver): boolean {
  if (ack.view < receiver.view) return true;
  if (!receiver.primary || ack.view !== receiver.normalView) return false;
  return ack.op <= receiver.commit || ((receiver.acks.get(ack.op) ?? 0) & (1 << ack.from)) !== 0;
}

/** Most handlers return at once when the message's view is below the own one. */
function isDead(message: Message, receiver: Receiver): boolean {
  const { leastView } = receiver;
  switch (message.type) {
    case 'prepare-ok':
      return isSpentAck(message, receiver);
    case 'prepare':
    case 'heartbeat':
    case 'start-view-change':
    case 'do-view-change':
    case 'start-view':
      return message.view < leastView;
    default:
      return false;
  }
}

const headOf = (message: Extract<Message, { type: 'start-view' }>): number => message.suffix.at(-1)?.op ?? 0;

/** True when `message` does nothing that `other` does not do in the same way. */
function isRepetition(message: Message, other: Message, receiver: Receiver): boolean {
  if (message.type === 'request-start-view' && other.type === 'request-start-view') {
    // A primary of the named view or a higher one answers alike whatever view is named: the lower view is enough.
    return other.view < message.view && other.nonce === message.nonce;
  }
  if (message.type === 'start-view' && other.type === 'start-view') {
    // Table C, first row: ignored, but for an end of asking, which any of them brings.
    const ignored = (m: typeof message): boolean =>
      m.view === receiver.normalView && m.nonce === '' && headOf(m) <= receiver.settledHead;
    return ignored(message) && ignored(other) && comesBefore(other, message);
  }
  if (message.type === 'do-view-change' && other.type === 'request-start-view') {
    // Both are answered with start_view, and the request for longer.
    return receiver.primary && message.view === receiver.normalView && other.view <= message.view && other.nonce === '';
  }
  return false;
}

type StartView = Extract<Message, { type: 'start-view' }>;

const comesBefore = (a: StartView, b: StartView): boolean =>
  headOf(a) < headOf(b) ||
  (headOf(a) === headOf(b) && (a.commit < b.commit || (a.commit === b.commit && a.suffix.length > b.suffix.length)));

const unimportant = {
  logView: view(0),
  commit: op(0),
  checkpoint: op(0),
  head: op(0),
  timestamp: timestamp(0),
  suffix: [],
};

/** A message that does the same at this receiver, now and ever, and does not name what makes no difference. */
function simplified(message: Message, { leastView, normalView, primary }: Receiver): Message {
  switch (message.type) {
    case 'request-start-view':
      // A primary of the named view or a higher one answers, alike whatever view is named.
      return message.view <= leastView ? { ...message, view: view(0) } : message;
    case 'do-view-change': {
      // A primary in normal status answers it with start_view and asks nothing about it; and it is never again in
      // view-change status in this view.
      const answered = primary && message.view === normalView;
      return answered ? { type: message.type, from: message.from, view: message.view, ...unimportant } : message;
    }
    default:
      return message;
  }
}

/** The messages that make a difference, in the simplest form in which they do. */
export function whatMatters(messages: readonly Message[], receiver: Receiver): readonly Message[] {
  const alive = messages
    .filter((message) => !isDead(message, receiver))
    .map((message) => simplified(message, receiver));
  return alive.filter((message) => !alive.some((other) => isRepetition(message, other, receiver)));
}
