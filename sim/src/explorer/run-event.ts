import { assert, clusterId, type Hasher, op as toOp, replicaId, unreachable } from '@kimberlite/base';
import {
  type ClientReply,
  cloneReplica,
  createReplica,
  type Effect,
  type Event,
  type Message,
  step,
} from '@kimberlite/vsr';
import { registrationRequest, requestOf, worldRequest } from './cluster-requests.ts';
import { type DurableImage, readImage, recoverImage, withPrepare, withSlot, withSuperblock } from './durable-image.ts';
import { listMachine } from './list-machine.ts';
import {
  type CrashOutcome,
  kept,
  type Local,
  type LocalEvent,
  type PendingRead,
  timerBit,
  timerNames,
} from './local.ts';
import { type AlwaysProperty, PropertyError, type Violation } from './property.ts';
import { laterClock, peerRealtimeUs, standStill, stillClock, stillUs, type Subject } from './replica-fields.ts';
import { shareUnchanged } from './share-unchanged.ts';
import { replicaCount, type World } from './world.ts';

export interface Sent {
  readonly to: number;
  readonly message: Message;
}

export interface Ran {
  readonly local: Local;
  readonly sent: readonly Sent[];
}

/** Disk work that one event can lead to, where the disk takes no time. */
const diskWorkMax = 100;

const cluster = clusterId('e7'.repeat(16));

/** A replica while an event runs at it. */
interface Running {
  replica: Subject;
  image: DurableImage;
  writes: Local['writes'];
  superblockWrite: Local['superblockWrite'];
  reads: readonly PendingRead[];
  timers: number;
  boots: number;
  readonly sent: Sent[];
}

/** Timers whose handlers act only on what is long ago. */
const isLater = (event: Event): boolean =>
  event.type === 'timer' && (event.timer === 'prepare' || event.timer === 'repair');

/** Runs events at single replicas, by the shipped `step`. */
export class EventRunner {
  readonly world: World;
  private readonly hasher: Hasher;
  private readonly ignore: ReadonlySet<AlwaysProperty>;

  constructor(world: World, hasher: Hasher, ignore: ReadonlySet<AlwaysProperty>) {
    this.world = world;
    this.hasher = hasher;
    this.ignore = ignore;
  }

  /** A replica that finds this on its disk. Throws what its assertions throw. */
  boot(self: number, image: DurableImage, boots: number): Ran {
    const replica = createReplica({
      cluster,
      replica: replicaId(self),
      replicaCount,
      hasher: this.hasher,
      seed: 1,
      nonce: `${self}.${boots}`,
      stateMachine: listMachine,
      durable: image.superblock,
      recovered: recoverImage(image),
    });
    const run: Running = { replica, image, writes: [], superblockWrite: null, reads: [], timers: 0, boots, sent: [] };
    this.step(run, { type: 'start' });
    if (replica.status === 'normal' && replica.view % replicaCount === self) {
      throw new PropertyError('never-resumed', `replica ${self} restarts and is the primary of view ${replica.view}`);
    }
    // The clocks of a cluster agree long before anything that is explored here.
    for (let from = 0; from < replicaCount; from++) {
      const pong = { type: 'pong', from: replicaId(from), sentAtUs: stillUs, realtimeUs: peerRealtimeUs } as const;
      if (from !== self) this.step(run, { type: 'message', message: pong });
    }
    this.finishDisk(run);
    return this.finish(run, null);
  }

  run(local: Local, event: LocalEvent): Ran {
    if (event.type === 'crash') {
      return this.boot(local.replica.self, afterCrash(local, event.outcome), local.boots + 1);
    }
    const run: Running = { ...local, replica: cloneReplica(local.replica), sent: [] };
    this.happen(run, event);
    this.finishDisk(run);
    return this.finish(run, local);
  }

  /** What the world's disks do in no time ends before anything else happens. */
  private finishDisk(run: Running): void {
    const { slowLog, slowSuperblock } = this.world;
    for (let count = 0; ; count++) {
      assert(count < diskWorkMax, 'disk work comes to an end');
      const [write] = run.writes;
      const [read] = run.reads;
      if (!slowSuperblock && run.superblockWrite !== null) this.happen(run, { type: 'superblock-written' });
      else if (slowLog) return;
      else if (write !== undefined) this.happen(run, { type: 'log-written', op: write.header.op, id: write.header.id });
      else if (read !== undefined) this.happen(run, { type: 'read-done', op: read.op, id: read.id });
      else return;
    }
  }

  /** The same local state under the rules of this world. */
  adopt(local: Local): Local {
    const explored = timerNames.filter((timer) => this.isExplored(timer));
    const timers = explored.reduce((bits, timer) => bits | (local.timers & timerBit(timer)), 0);
    return this.finish({ ...local, replica: cloneReplica(local.replica), timers, sent: [] }, null).local;
  }

  private happen(run: Running, event: Exclude<LocalEvent, { type: 'crash' }>): void {
    switch (event.type) {
      case 'deliver':
        return this.step(run, { type: 'message', message: event.message });
      case 'timer':
        run.timers &= ~timerBit(event.timer);
        return this.step(run, { type: 'timer', timer: event.timer });
      case 'request':
        return this.step(run, { type: 'client-requests', requests: [worldRequest(event.request, this.hasher)] });
      case 'register': {
        const all = Array.from({ length: this.world.requests }, (_, i) => registrationRequest(i + 1, this.hasher));
        return this.step(run, { type: 'client-requests', requests: all });
      }
      case 'log-written': {
        const { op, id } = event;
        const prepare = run.writes.find(({ header }) => header.op === op && header.id === id);
        assert(prepare !== undefined, 'a write that ends is under way');
        run.writes = run.writes.filter((write) => write !== prepare);
        run.image = withPrepare(run.image, prepare);
        return this.step(run, { type: 'log-written', op: prepare.header.op, id });
      }
      case 'superblock-written': {
        assert(run.superblockWrite !== null, 'a superblock write that ends is under way');
        run.image = withSuperblock(run.image, run.superblockWrite);
        run.superblockWrite = null;
        return this.step(run, { type: 'superblock-written', sequence: run.replica.flushSequence });
      }
      case 'read-done': {
        const read = run.reads.find(({ op, id }) => op === event.op && id === event.id);
        assert(read !== undefined, 'a read that ends is under way');
        run.reads = run.reads.filter((other) => other !== read);
        return this.step(run, { type: 'prepare-read', op: toOp(event.op), id: event.id, prepare: read.prepare });
      }
      default:
        unreachable(event);
    }
  }

  private step(run: Running, event: Event): void {
    const before = run.image;
    let effects: readonly Effect[];
    try {
      effects = step(run.replica, event, isLater(event) ? laterClock : stillClock);
    } catch (error) {
      throw new PropertyError('assertion', error instanceof Error ? error.message : String(error));
    }
    for (const effect of effects) this.execute(run, effect);
    assert(before.superblock.view <= run.image.superblock.view, 'effects do not touch the disk at once');
  }

  private execute(run: Running, effect: Effect): void {
    switch (effect.type) {
      case 'send-message':
        return this.send(run, effect.to, effect.message);
      case 'broadcast':
        // There is nobody else in any world.
        for (const to of effect.to) if (to < replicaCount) this.send(run, to, effect.message);
        return;
      case 'set-timer':
        run.timers |= this.isExplored(effect.timer) ? timerBit(effect.timer) : 0;
        return;
      case 'cancel-timer':
        run.timers &= ~timerBit(effect.timer);
        return;
      case 'write-to-log': {
        const { op } = effect.prepare.header;
        assert(!run.writes.some(({ header }) => header.op === op), () => `two writes to op ${op} are under way`);
        run.writes = [...run.writes, effect.prepare];
        return;
      }
      case 'flush-to-disk':
        return this.flush(run, effect.state);
      case 'read-from-log': {
        const { op, id } = effect;
        const reads = [...run.reads, { op, id, prepare: readImage(run.image, op, id) }];
        run.reads = reads.sort((a, b) => a.op - b.op || (a.id < b.id ? -1 : 1));
        return;
      }
      case 'notify-client':
        return checkReply(run.replica, requestOf(effect.client), effect.reply);
      case 'apply-effects':
      case 'stopped':
        return;
      // No world is long enough for a checkpoint.
      case 'write-checkpoint':
      case 'read-checkpoint-part':
      case 'receive-checkpoint':
      case 'store-checkpoint-part':
      case 'trim-log':
      case 'member-replaced':
      case 'members-changed':
      case 'group-changed':
      case 'removed':
        throw new PropertyError('assertion', `${effect.type} in a world without checkpoints and changes`);
      default:
        unreachable(effect);
    }
  }

  private isExplored(timer: Extract<Effect, { type: 'set-timer' }>['timer']): boolean {
    const { heartbeats, repairAttempts, resends } = this.world;
    if (timer === 'heartbeat') return heartbeats > 0;
    if (timer === 'repair') return repairAttempts > 0;
    return resends || (timer !== 'prepare' && timer !== 'request-start-view');
  }

  private flush(run: Running, state: DurableImage['superblock']): void {
    assert(run.superblockWrite === null, 'one superblock write at a time');
    const { view, logView, commit, checkpoint } = run.image.superblock;
    if (state.view < view || state.logView < logView || state.commit < commit || state.checkpoint < checkpoint) {
      throw new PropertyError(
        'never-back',
        `replica ${run.replica.self} writes an older view, log view or commit number`,
      );
    }
    run.superblockWrite = state;
  }

  private send(run: Running, to: number, message: Message): void {
    const untrue = untrueClaim(run, message);
    if (untrue !== null && !this.ignore.has(untrue.property)) throw new PropertyError(untrue.property, untrue.message);
    if (!this.isInert(message)) run.sent.push({ to, message: plain(message, run.replica) });
  }

  /**
   * Messages without any effect in these worlds are not kept: pings and pongs, since the clocks agree and stand still,
   * and answers to heartbeats, since nobody reads (no round waits for them) and nobody falls silent.
   */
  private isInert(message: Message): boolean {
    const { type } = message;
    if (type === 'heartbeat') return this.world.heartbeats === 0;
    return type === 'ping' || type === 'pong' || type === 'heartbeat-ok';
  }

  private finish(run: Running, before: Local | null): Ran {
    const { replica, image, writes, superblockWrite, reads, timers, boots, sent } = run;
    standStill(replica, this.world);
    const { applied } = replica.state;
    if (new Set(applied).size !== applied.length) {
      throw new PropertyError('exactly-once', `replica ${replica.self} executed ${applied.join(', ')}`);
    }
    if (before !== null) shareUnchanged(replica, before.replica);
    return { local: { replica, image, writes, superblockWrite, reads, timers, boots }, sent };
  }
}

/**
 * The nonce of a request for start_view comes back in the answer, and only a replica that is unsure of its head looks at
 * it there, which it is from its boot on or not at all: others need not send theirs.
 */
const plain = (message: Message, { status }: Subject): Message =>
  message.type === 'request-start-view' && status !== 'recovering-head' ? { ...message, nonce: '' } : message;

/** What the disk holds after a crash. */
export function afterCrash({ image, writes, superblockWrite }: Local, outcome: CrashOutcome): DurableImage {
  let after = outcome.superblockKept && superblockWrite !== null ? withSuperblock(image, superblockWrite) : image;
  for (const [i, prepare] of writes.entries()) {
    if (outcome.writes.charAt(i) === kept) after = withPrepare(after, prepare);
  }
  if (outcome.torn !== 0) after = withSlot(after, outcome.torn, { kind: 'torn' });
  const rotten = after.slots.get(outcome.rotted);
  if (rotten?.kind === 'intact') {
    after = withSlot(after, outcome.rotted, { kind: 'damaged', header: rotten.prepare.header });
  }
  return after;
}

/** What a message claims about its sender has to be on the sender's disk when it leaves. */
function untrueClaim({ image, replica }: Running, message: Message): Violation | null {
  const { view, logView } = image.superblock;
  const says = `replica ${replica.self} sends ${message.type} of`;
  if ('view' in message && view < message.view) {
    return { property: 'persistence', message: `${says} view ${message.view}, its disk has ${view}` };
  }
  const claimed = claimedLogView(message);
  if (claimed > logView) {
    return { property: 'persistence', message: `${says} log view ${claimed}, its disk has ${logView}` };
  }
  if (message.type === 'prepare-ok' && readImage(image, message.op, message.id) === null) {
    return { property: 'acked-durable', message: `${says} op ${message.op}, which its disk lacks` };
  }
  return null;
}

/** The log view that a message speaks for; 0: none. */
function claimedLogView(message: Message): number {
  switch (message.type) {
    case 'do-view-change':
      return message.logView;
    case 'prepare':
    case 'prepare-ok':
    case 'start-view':
    case 'heartbeat':
    case 'heartbeat-ok':
      return message.view;
    case 'ping':
    case 'pong':
    case 'start-view-change':
    case 'request-start-view':
    case 'request-headers':
    case 'headers':
    case 'request-prepare':
    case 'repair-prepare':
    case 'request-checkpoint':
    case 'checkpoint-offer':
    case 'request-checkpoint-part':
    case 'checkpoint-part':
    case 'new-epoch':
      return 0;
    default:
      return unreachable(message);
  }
}

function checkReply(r: Subject, request: number, reply: ClientReply): void {
  if (reply.type !== 'outcome') return;
  const body = request.toString(16).padStart(2, '0');
  if (reply.op > r.commit || !r.state.applied.includes(body)) {
    throw new PropertyError('exactly-once', `request ${request} is answered, and op ${reply.op} is not committed here`);
  }
}
