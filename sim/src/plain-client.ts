import {
  assert,
  type ClientId,
  type ClusterId,
  type Hasher,
  protocolVersion,
  type RandomState,
  type RequestNumber,
  randomInt,
  randomPick,
  randomU32,
  type SessionNumber,
} from '@kimberlite/base';
import type { CommandInput, Query } from '@kimberlite/kernel';
import type { ClientReply, ReadLevel } from '@kimberlite/vsr';
import {
  type ClientMessage,
  type Codec,
  decodeOutcomes,
  decodeQueryAnswer,
  encodeCommands,
  encodeQuery,
  type ServerMessage,
} from '@kimberlite/wire';
import type { ClientLinks } from './client-links.ts';
import type { ClusterClient, CommandEnd, QueryEnd } from './cluster-client.ts';
import type { Scheduled, Scheduler } from './scheduler.ts';

type RequestEnd =
  | { readonly type: 'outcome'; readonly op: number; readonly body: Uint8Array }
  | { readonly type: 'not-applied' | 'unknown' };

type AnswerEnd =
  | { readonly type: 'answer'; readonly op: number; readonly body: Uint8Array }
  | { readonly type: 'failed' };

interface PendingRequest {
  readonly number: number;
  readonly body: Uint8Array;
  readonly done: (end: RequestEnd) => void;
  /** Transmissions that nobody has refused: it may be in a log. */
  unanswered: number;
  readonly deadlineUs: number;
}

interface PendingQuery {
  readonly query: number;
  readonly after: number;
  readonly level: ReadLevel;
  readonly body: Uint8Array;
  readonly done: (end: AnswerEnd) => void;
  readonly deadlineUs: number;
}

export interface PlainClientOptions {
  readonly scheduler: Scheduler;
  readonly links: ClientLinks;
  readonly codec: Codec;
  readonly hasher: Hasher;
  readonly cluster: ClusterId;
  readonly nodes: number;
  /** Machines there are; left out: as many as replicas at the beginning. */
  readonly machines?: () => number;
  /** Number of this client among all; names its links and its generator. */
  readonly index: number;
  readonly giveUpUs: number;
}

const retryUsMin = 20_000;

const randomHex128 = (random: RandomState): string =>
  Array.from({ length: 4 }, () => randomU32(random).toString(16).padStart(8, '0')).join('');

/**
 * A client as plain as the protocol allows: one connection, a session, the same number for the same request
 * until it is answered. Independent of the SDK on purpose: a mistake of the SDK's cannot hide one of the
 * cluster's.
 */
export class PlainClient implements ClusterClient {
  private readonly options: PlainClientOptions;
  private readonly random: RandomState;
  private client: ClientId;
  private session = 0;
  private nextNumber = 1;
  private nextQuery = 1;
  private node: number;
  private connection: number | null = null;
  private ready = false;
  /** What the node it is connected to has agreed on. */
  private version: number = protocolVersion;
  private readonly requests = new Map<number, PendingRequest>();
  private readonly queries = new Map<number, PendingQuery>();
  private ticking: Scheduled | null = null;
  private lastProgressUs = 0;
  private stopped = false;
  private retrying = false;
  /** Some are impatient, some are not: this long without an answer, and it sends again; three times, and it moves. */
  private readonly resendUs: number;

  constructor(options: PlainClientOptions) {
    this.options = options;
    this.random = options.scheduler.random(`client ${options.index}`);
    this.client = randomHex128(this.random) as ClientId;
    this.node = randomInt(this.random, 0, options.nodes - 1);
    this.resendUs = randomPick(this.random, [60_000, 150_000, 400_000]);
  }

  start(): void {
    this.dial();
    this.tick();
  }

  private get nodes(): number {
    return this.options.machines?.() ?? this.options.nodes;
  }

  get inFlight(): number {
    return this.requests.size + this.queries.size;
  }

  submit(command: CommandInput, done: (end: CommandEnd) => void): void {
    const pending: PendingRequest = {
      number: this.nextNumber++,
      body: encodeCommands([command]),
      done: (end) => done(end.type === 'outcome' ? readOutcome(end.op, end.body) : end),
      unanswered: 0,
      deadlineUs: this.options.scheduler.nowUs + this.options.giveUpUs,
    };
    this.requests.set(pending.number, pending);
    if (this.session > 0) this.transmit(pending);
  }

  ask(query: Query, done: (end: QueryEnd) => void): void {
    const pending: PendingQuery = {
      query: this.nextQuery++,
      after: this.nextNumber - 1,
      level: { type: 'linearizable' },
      body: encodeQuery(query),
      done: (end) => done(end.type === 'answer' ? readAnswer(end.op, end.body) : end),
      deadlineUs: this.options.scheduler.nowUs + this.options.giveUpUs,
    };
    this.queries.set(pending.query, pending);
    if (this.session > 0) this.transmitQuery(pending);
  }

  /** The process dies: what is in flight is unknown; the next one is another client (pitfall 7). */
  crash(): void {
    this.hangUp();
    this.forgetSession();
  }

  private forgetSession(): void {
    const requests = [...this.requests.values()];
    const queries = [...this.queries.values()];
    this.requests.clear();
    this.queries.clear();
    this.client = randomHex128(this.random) as ClientId;
    this.session = 0;
    this.nextNumber = 1;
    for (const pending of requests) pending.done({ type: 'unknown' });
    for (const pending of queries) pending.done({ type: 'failed' });
  }

  /** After `crash`: a new process. */
  restart(): void {
    if (this.connection === null && !this.stopped) this.dial();
  }

  private dial(): void {
    const { links, index } = this.options;
    this.ready = false;
    this.lastProgressUs = this.options.scheduler.nowUs;
    const id: number = links.dial(index, this.node, {
      opened: () => {
        if (this.connection !== id) return;
        const { client } = this;
        this.send([{ type: 'hello', protocolVersion, client, cluster: this.options.cluster }]);
      },
      received: (frame) => {
        if (this.connection === id) this.receive(frame);
      },
      closed: () => {
        if (this.connection !== id) return;
        this.connection = null;
        this.ready = false;
        this.node = randomInt(this.random, 0, this.nodes - 1);
        this.options.scheduler.after(randomInt(this.random, 5_000, 50_000), () => this.restart());
      },
    });
    this.connection = id;
  }

  private hangUp(): void {
    if (this.connection !== null) this.options.links.closeFromClient(this.connection);
    this.connection = null;
    this.ready = false;
  }

  private moveTo(node: number): void {
    if (this.node === node && this.connection !== null) return;
    this.hangUp();
    this.node = node;
    this.dial();
  }

  private send(messages: readonly ClientMessage[]): void {
    if (this.connection === null) return;
    this.options.links.sendToNode(this.connection, this.options.codec.encodeClientFrame(messages, this.version));
  }

  private receive(frame: Uint8Array): void {
    const messages = this.options.codec.decodeServerFrame(frame);
    assert(messages.ok, 'a node sends frames its own codec reads');
    for (const message of messages.value) this.onMessage(message);
  }

  private onMessage(message: ServerMessage): void {
    switch (message.type) {
      case 'welcome':
        this.version = message.protocolVersion;
        if (message.primary !== message.replica && randomInt(this.random, 0, 3) > 0) this.moveTo(message.primary);
        else this.onReady();
        return;
      case 'view':
        this.moveTo(message.primary);
        return;
      case 'reply':
        // A refusal is none: a primary that is cut off gives one after the other, and others have gone on without it.
        if (!('refusal' in message.reply)) this.lastProgressUs = this.options.scheduler.nowUs;
        this.onReply(message.reply);
        return;
      case 'error':
        this.hangUp();
        this.options.scheduler.after(retryUsMin, () => this.restart());
        return;
      case 'status':
        return;
    }
  }

  private onReady(): void {
    this.ready = true;
    this.resendAll();
  }

  private resendAll(): void {
    if (!this.ready) return;
    if (this.session === 0) {
      const zero = 0 as RequestNumber;
      const body = new Uint8Array(0);
      const checksum = this.options.hasher(body);
      const request = { session: 0 as SessionNumber, number: zero, floor: zero, checksum, body };
      this.send([{ type: 'request', request }]);
      return;
    }
    for (const pending of this.requests.values()) this.transmit(pending);
    for (const pending of this.queries.values()) this.transmitQuery(pending);
  }

  private transmit(pending: PendingRequest): void {
    if (!this.ready) return;
    pending.unanswered += 1;
    const floor = Math.min(...this.requests.keys());
    const request = {
      session: this.session as SessionNumber,
      number: pending.number as RequestNumber,
      floor: floor as RequestNumber,
      checksum: this.options.hasher(pending.body),
      body: pending.body,
    };
    this.send([{ type: 'request', request }]);
  }

  private transmitQuery(pending: PendingQuery): void {
    if (!this.ready) return;
    const { query, level, body } = pending;
    const after = pending.after as RequestNumber;
    const session = this.session as SessionNumber;
    this.send([{ type: 'query', query: { session, query, after, level, body } }]);
  }

  private onReply(reply: ClientReply): void {
    switch (reply.type) {
      case 'registered':
        if (this.session === 0) {
          this.session = reply.session;
          this.resendAll();
        }
        return;
      case 'outcome': {
        if (reply.session !== this.session) return;
        const pending = this.requests.get(reply.number);
        this.requests.delete(reply.number);
        pending?.done({ type: 'outcome', op: reply.op, body: reply.body });
        return;
      }
      case 'refused':
        this.onRefused(reply);
        return;
      case 'evicted':
        if (reply.session === this.session) {
          this.forgetSession();
          this.hangUp();
          this.dial();
        }
        return;
      case 'mismatch':
        assert(false, 'a request number is never used for two requests');
        return;
      case 'answer': {
        const pending = this.queries.get(reply.query);
        this.queries.delete(reply.query);
        pending?.done({ type: 'answer', op: reply.op, body: reply.body });
        return;
      }
      case 'query-refused':
        if (this.queries.has(reply.query)) this.retryLater(reply.refusal.primary, reply.refusal.retryAfterMs);
        return;
    }
  }

  private onRefused(reply: Extract<ClientReply, { readonly type: 'refused' }>): void {
    const pending = reply.session === this.session ? this.requests.get(reply.number) : undefined;
    if (pending !== undefined) pending.unanswered = Math.max(0, pending.unanswered - 1);
    if (reply.refusal.reason === 'invalid') assert(false, `the workload is valid: ${reply.refusal.message ?? ''}`);
    this.retryLater(reply.refusal.primary, reply.refusal.retryAfterMs);
  }

  private retryLater(primary: number, afterMs: number): void {
    const { scheduler } = this.options;
    const { connection } = this;
    // One at a time: every refusal answered by a resend of everything would multiply without end.
    if (this.retrying) return;
    this.retrying = true;
    scheduler.after(Math.max(retryUsMin, afterMs * 1000) + randomInt(this.random, 0, 10_000), () => {
      this.retrying = false;
      if (this.connection !== connection || connection === null) return;
      if (primary !== this.node && primary < this.nodes) this.moveTo(primary);
      else this.resendAll();
    });
  }

  /** Resends what waits too long, tries another node when one is silent, and gives up what is too old. */
  private tick(): void {
    this.ticking = this.options.scheduler.after(this.resendUs + randomInt(this.random, 0, 50_000), () => this.tick());
    const { nowUs } = this.options.scheduler;
    for (const [query, pending] of this.queries) {
      if (pending.deadlineUs > nowUs) continue;
      this.queries.delete(query);
      pending.done({ type: 'failed' });
    }
    this.giveUpOldest(nowUs);
    const waits = this.session === 0 || this.inFlight > 0;
    if (!waits || this.connection === null) return;
    if (nowUs - this.lastProgressUs > 3 * this.resendUs) this.leaveSilence();
    else this.resendAll();
  }

  /** To another node; where there is only one, to the same: it may be the connection that is dead. */
  private leaveSilence(): void {
    const { nodes } = this;
    this.hangUp();
    this.moveTo((this.node + 1 + randomInt(this.random, 0, Math.max(0, nodes - 2))) % nodes);
  }

  /**
   * A number may be used again only if no transmission of it can be in a log; so what was refused each time is
   * given up from the highest number down, and anything else ends the session.
   */
  private giveUpOldest(nowUs: number): void {
    for (const pending of [...this.requests.values()].reverse()) {
      if (pending.deadlineUs > nowUs || pending.unanswered > 0 || pending.number !== this.nextNumber - 1) break;
      this.requests.delete(pending.number);
      this.nextNumber -= 1;
      pending.done({ type: 'not-applied' });
    }
    if ([...this.requests.values()].some((pending) => pending.deadlineUs <= nowUs)) {
      this.forgetSession();
      this.hangUp();
      this.dial();
    }
  }

  /** Leaves for good; nothing may be in flight. */
  stop(): void {
    assert(this.inFlight === 0, 'a client that stops has nothing in flight');
    this.stopped = true;
    if (this.ticking !== null) this.options.scheduler.cancel(this.ticking);
    this.hangUp();
  }
}

function readOutcome(op: number, body: Uint8Array): CommandEnd {
  const outcomes = decodeOutcomes(body);
  assert(outcomes.ok && outcomes.value.length === 1, 'one command has one outcome');
  const [outcome] = outcomes.value;
  assert(outcome !== undefined, 'the outcome is there');
  return { type: 'outcome', op, outcome };
}

function readAnswer(op: number, body: Uint8Array): QueryEnd {
  const answer = decodeQueryAnswer(body);
  assert(answer.ok && answer.value.ok, 'the queries of the workload are answered');
  return { type: 'answer', op, answer: answer.value.value };
}
