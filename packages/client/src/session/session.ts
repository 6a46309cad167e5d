import {
  assert,
  randomFloat,
  type RequestNumber,
  type SessionNumber,
  sessionNumber,
  speaks,
  unreachable,
} from '@kimberlite/base';
import { type ClientMessage, decodeOutcomes, decodeQueryAnswer, type ServerMessage } from '@kimberlite/wire';
import type { Call } from './call-queue.ts';
import { EndpointBook } from './endpoint-book.ts';
import { type ClientErrorCode, failure } from './failure.ts';
import {
  type ClientTiming,
  defaultTiming,
  idleTickMs,
  requestsGatheringMax,
  requestsInFlightMax,
  tickMs,
} from './limits.ts';
import { type Link, Links } from './links.ts';
import { PendingCalls } from './pending-calls.ts';
import { rejection } from './rejection.ts';
import { certainlyNotAdmitted, type Request } from './request.ts';
import { noRequest, type QueryInFlight, RequestsInFlight } from './requests-in-flight.ts';
import type {
  CallId,
  ClientSession,
  SessionInput,
  SessionOptions,
  SessionOutput,
  SessionView,
} from './session-types.ts';

type Reply = Extract<ServerMessage, { type: 'reply' }>['reply'];
type Refusal = Extract<Reply, { type: 'refused' }>['refusal'];

const noSession = sessionNumber(0);
const empty: readonly SessionOutput[] = [];
const diskFullText = 'The disk of the primary is full: writes are refused until there is room, reads go on.';

/**
 * One client of a cluster as a state machine: calls in, frames and results out, no clock, no socket.
 *
 * Owns the numbering of requests, what is known of each transmission, and therefore what may be said of a call
 * that failed. A command is `not-applied` only if every transmission of its request number was refused
 * (pitfall 67); otherwise the very same request is sent again until its fate is known or the caller gives up.
 */
class Session implements ClientSession {
  private readonly options: SessionOptions;
  private readonly timing: ClientTiming;
  private readonly book: EndpointBook;
  private readonly links: Links;
  private outputs: SessionOutput[] = [];
  private outbox: ClientMessage[] = [];

  private session: SessionNumber = noSession;
  private registrationSentMs: number | null = null;
  private lastSession = 0;
  private readonly calls: PendingCalls;
  private readonly flight: RequestsInFlight;

  private pausedUntilMs = 0;
  private refusals = 0;
  private lastRefusal: Refusal | null = null;
  /** Since when requests have been refused for want of space; null: they are not. */
  private diskFullSinceMs: number | null = null;
  private welcomed = false;
  private closed = false;

  constructor(options: SessionOptions) {
    this.options = options;
    this.timing = { ...defaultTiming, ...options.timing };
    this.book = new EndpointBook(options.endpoints, this.timing, options.random);
    const emit = (output: SessionOutput): void => {
      this.outputs.push(output);
    };
    this.links = new Links(options, this.book, this.timing, emit);
    this.calls = new PendingCalls(emit);
    this.flight = new RequestsInFlight(this.timing, options.hasher);
  }

  step(input: SessionInput, nowMs: number): readonly SessionOutput[] {
    if (this.closed) return this.refuseClosed(input);
    this.take(input, nowMs);
    this.flushOutbox();
    if (this.outputs.length === 0) return empty;
    const outputs = this.outputs;
    this.outputs = [];
    return outputs;
  }

  tickInMs(): number | null {
    if (this.closed) return null;
    if (this.calls.size > 0 || this.links.scout !== null || !this.welcomed) return tickMs;
    return this.links.toPrimary() === null ? idleTickMs : null;
  }

  look(): SessionView {
    const { known, active } = this.links;
    return {
      endpoints: this.book.list(),
      members: this.book.known(),
      connectedTo: active?.endpoint ?? null,
      view: known?.view ?? null,
      primary: known?.primary ?? null,
      registered: this.session !== noSession,
      pending: this.calls.size,
      troubles: this.book.troubles(),
    };
  }

  private take(input: SessionInput, nowMs: number): void {
    switch (input.type) {
      case 'command':
      case 'query':
        return this.calls.take(input, nowMs + (input.timeoutMs ?? this.timing.callTimeoutMs));
      case 'abort':
        this.giveUp(input.call, 'Aborted', 'The caller aborted the call.');
        return this.turn(nowMs);
      case 'flush':
      case 'tick':
        return this.turn(nowMs);
      case 'connected': {
        const link = this.links.find(input.connection);
        if (link !== null) this.links.connected(link, nowMs);
        return;
      }
      case 'disconnected': {
        const link = this.links.find(input.connection);
        if (link !== null && this.links.ended(link, input.reason, nowMs)) this.loseWire();
        return this.turn(nowMs);
      }
      case 'frame':
        this.onFrame(input.connection, input.frame, nowMs);
        return this.turn(nowMs);
      case 'close':
        return this.close();
      default:
        return unreachable(input);
    }
  }

  // ---- calls

  /** The caller will not wait any longer; what may be said depends on what was sent and what became of it. */
  private giveUp(id: CallId, code: ClientErrorCode, why: string): void {
    const entry = this.calls.find(id);
    if (entry === undefined) return;
    const { call, at } = entry;
    if (at !== null && 'query' in at) this.flight.queries.delete(at.query);
    const certain = at === null || 'query' in at || certainlyNotAdmitted(at);
    const text = certain ? why : `${why} The command was sent and may still take effect.`;
    this.calls.fail(call, failure(code, certain ? 'not-applied' : 'unknown', text));
  }

  private expire(nowMs: number): void {
    const overloaded = this.lastRefusal?.reason === 'overloaded';
    const full = this.diskFullSinceMs !== null;
    for (const id of this.calls.late(nowMs)) {
      const code = overloaded ? 'Overloaded' : full ? 'DiskFull' : 'Timeout';
      this.giveUp(id, code, full ? diskFullText : `No answer in time: ${this.situation()}.`);
    }
  }

  /** What stands in the way, in words. */
  private situation(): string {
    const { active, known } = this.links;
    if (this.lastRefusal !== null) {
      const { reason, message } = this.lastRefusal;
      return `the cluster refused with "${reason}"${message === undefined ? '' : ` (${message})`}`;
    }
    if (active === null) return `no endpoint answers (${this.book.troubles().join('; ') || 'still dialling'})`;
    if (!this.links.isPrimary(active))
      return `${active.endpoint} answers, but primary ${known?.primary} of view ${known?.view} is not reached`;
    return `${active.endpoint} has not replied`;
  }

  // ---- one turn

  private turn(nowMs: number): void {
    this.expire(nowMs);
    this.flight.advance();
    const promoted = this.links.maintain(nowMs, this.hasDoubt(nowMs));
    if (promoted) {
      this.loseWire();
      this.pausedUntilMs = 0;
      this.lastRefusal = null;
    }
    this.flight.loseLate(nowMs);
    if (this.registrationSentMs !== null && nowMs - this.registrationSentMs > this.timing.resendMs) {
      this.registrationSentMs = null;
    }
    this.pump(nowMs);
  }

  /** The active link does not do what is asked of it: it refuses, or it is silent with something in flight. */
  private hasDoubt(nowMs: number): boolean {
    const { active } = this.links;
    if (active === null) return true;
    const reason = this.lastRefusal?.reason;
    const isBusy = reason === 'overloaded' || reason === 'window-full' || reason === 'disk-full';
    if (reason !== undefined && !isBusy) return true;
    const before = nowMs - this.timing.silenceMs;
    if (active.heardMs >= before) return false;
    return Math.min(this.registrationSentMs ?? nowMs, this.flight.oldestSentMs()) < before;
  }

  /** Whatever was sent on the active link will not be answered there. */
  private loseWire(): void {
    this.flight.loseAll();
    this.registrationSentMs = null;
  }

  // ---- sending

  private pump(nowMs: number): void {
    if (nowMs < this.pausedUntilMs || this.links.active === null) return;
    if (this.flight.resendWanted) this.resend(nowMs);
    const { queue } = this.calls;
    for (let call = queue.peek(); call !== undefined; call = queue.peek()) {
      const went = call.type === 'query' ? this.issueQuery(call, nowMs) : this.issueRequest(nowMs);
      if (!went) return;
    }
  }

  private register(nowMs: number): void {
    if (this.registrationSentMs !== null) return;
    this.registrationSentMs = nowMs;
    const body = new Uint8Array(0);
    const checksum = this.options.hasher(body);
    const request = { session: noSession, number: noRequest, floor: noRequest, checksum, body };
    this.outbox.push({ type: 'request', request });
  }

  private resend(nowMs: number): void {
    this.flight.resendWanted = false;
    for (const item of this.flight.unsent()) {
      if ('query' in item) this.sendQuery(item, nowMs);
      else {
        this.flight.refresh(item);
        this.sendRequest(item, nowMs);
      }
    }
  }

  private sendRequest(request: Request, nowMs: number): void {
    if (this.links.toPrimary() === null || this.session === noSession) {
      this.flight.resendWanted = true;
      return;
    }
    request.onWire++;
    request.attempts++;
    request.sentMs = nowMs;
    const { number, checksum, body } = request;
    this.outbox.push({
      type: 'request',
      request: { session: this.session, number, floor: this.flight.floor(), checksum, body },
    });
  }

  private sendQuery(query: QueryInFlight, nowMs: number): void {
    if (!this.mayAsk(query.call)) {
      this.flight.resendWanted = true;
      return;
    }
    query.onWire = true;
    query.attempts++;
    query.sentMs = nowMs;
    const { call, after } = query;
    const body = { session: this.session, query: query.query, after, level: call.level, body: call.packed };
    this.outbox.push({ type: 'query', query: body });
  }

  /** Weaker reads are answered by any replica; the others need the primary. */
  private mayAsk(call: Call): boolean {
    if (call.level.type !== 'linearizable') return this.links.active !== null;
    return this.links.toPrimary() !== null;
  }

  private issueQuery(call: Call, nowMs: number): boolean {
    if (!this.flight.hasRoomForQuery() || !this.mayAsk(call)) return false;
    const query = this.flight.addQuery(call);
    this.calls.place(call, query);
    this.sendQuery(query, nowMs);
    return true;
  }

  private issueRequest(nowMs: number): boolean {
    if (this.links.toPrimary() === null) return false;
    if (this.session === noSession) {
      this.register(nowMs);
      return false;
    }
    // A crowd of commands shares requests; but a query between them closes a batch, and then many are needed.
    if (!this.flight.hasRoom(this.calls.queuedQueries > 0 ? requestsInFlightMax : requestsGatheringMax)) return false;
    const request = this.flight.addRequest(this.calls.queue.batch());
    for (const call of request.calls) this.calls.place(call, request);
    this.sendRequest(request, nowMs);
    return true;
  }

  private flushOutbox(): void {
    const { active } = this.links;
    if (this.outbox.length === 0) return;
    assert(active !== null, 'messages are made only for a connection that is there');
    for (const frame of this.options.codec.encodeClientFrames(this.outbox, active.version)) {
      this.outputs.push({ type: 'send', connection: active.number, frame });
    }
    this.outbox = [];
  }

  // ---- receiving

  private onFrame(connection: number, frame: Uint8Array, nowMs: number): void {
    const link = this.links.find(connection);
    if (link === null) return;
    link.heardMs = nowMs;
    const messages = this.options.codec.decodeServerFrame(frame);
    if (!messages.ok) {
      if (this.links.drop(link, messages.error.message, nowMs)) this.loseWire();
      return;
    }
    for (const message of messages.value) this.onMessage(link, message, nowMs);
  }

  private onMessage(link: Link, message: ServerMessage, nowMs: number): void {
    switch (message.type) {
      case 'welcome':
        if (!speaks(this.options.codec.versions, message.protocolVersion)) {
          this.links.drop(link, `wrong-version: the node wants to speak ${message.protocolVersion}`, nowMs);
          return;
        }
        this.links.welcomed(link, message, nowMs);
        if (!this.welcomed) this.outputs.push({ type: 'welcomed' });
        this.welcomed = true;
        return;
      case 'view':
        return this.onView(this.links.learn(message.view, message.primary));
      case 'reply':
        return this.onReply(message.reply, nowMs);
      case 'error':
        if (this.links.find(link.number) === null) return;
        if (this.links.drop(link, `${message.code}: ${message.message}`, nowMs)) this.loseWire();
        return;
      case 'status':
        return;
      default:
        return unreachable(message);
    }
  }

  /** In a new view nothing sent before counts as on its way: what was queued there is gone. */
  private onView(isNew: boolean): void {
    if (!isNew) return;
    this.lastRefusal = null;
    this.pausedUntilMs = 0;
    this.loseWire();
  }

  private onReply(reply: Reply, nowMs: number): void {
    switch (reply.type) {
      case 'registered':
        if (this.session !== noSession || reply.session <= this.lastSession) return;
        this.session = reply.session;
        this.registrationSentMs = null;
        this.flight.resendWanted = true;
        this.diskFullSinceMs = null;
        return this.wentWell();
      case 'outcome':
        return this.onOutcome(reply);
      case 'answer':
        return this.onAnswer(reply);
      case 'refused':
        return this.onRefused(reply.session, reply.number, reply.refusal, nowMs);
      case 'query-refused':
        return this.onQueryRefused(reply.query, reply.refusal, nowMs);
      case 'evicted':
        return this.onEvicted(reply.session);
      case 'mismatch':
        return this.onMismatch(reply.session, reply.number);
      default:
        return unreachable(reply);
    }
  }

  private wentWell(): void {
    this.refusals = 0;
    this.lastRefusal = null;
  }

  private onOutcome(reply: Extract<Reply, { type: 'outcome' }>): void {
    const request = reply.session === this.session ? this.flight.requests.get(reply.number) : undefined;
    if (request === undefined) return;
    this.flight.forget(request);
    this.diskFullSinceMs = null;
    this.wentWell();
    const outcomes = decodeOutcomes(reply.body);
    if (!outcomes.ok || outcomes.value.length !== request.calls.length) {
      const text = `the reply cannot be read: ${outcomes.ok ? 'another number of outcomes' : outcomes.error.message}`;
      for (const call of request.calls) this.calls.fail(call, failure('ProtocolError', 'unknown', text));
      return;
    }
    request.calls.forEach((call, i) => {
      const outcome = outcomes.value[i];
      if (outcome?.ok === true) this.calls.settle(call, { type: 'outcome', outcome });
      else if (outcome !== undefined) this.calls.fail(call, rejection(outcome.error, outcome.position));
    });
  }

  private onAnswer(reply: Extract<Reply, { type: 'answer' }>): void {
    const query = this.flight.queries.get(reply.query);
    if (query === undefined) return;
    this.flight.queries.delete(reply.query);
    this.wentWell();
    const answer = decodeQueryAnswer(reply.body);
    if (!answer.ok) {
      return this.calls.fail(
        query.call,
        failure('ProtocolError', 'not-applied', `the answer cannot be read: ${answer.error.message}`),
      );
    }
    if (!answer.value.ok) return this.calls.fail(query.call, rejection(answer.value.error));
    const staleForUs = reply.staleForUs ?? null;
    this.calls.settle(query.call, { type: 'answer', answer: answer.value.value, op: reply.op, staleForUs });
  }

  private onRefused(session: SessionNumber, number: RequestNumber, refusal: Refusal, nowMs: number): void {
    if (session !== this.session) return;
    if (number === 0) this.registrationSentMs = null;
    const request = this.flight.requests.get(number);
    if (request !== undefined && request.onWire > 0) request.onWire--;
    if (refusal.reason === 'invalid' && request !== undefined) {
      const certain = certainlyNotAdmitted(request) ? 'not-applied' : 'unknown';
      const message = refusal.message ?? 'the primary found the request invalid';
      for (const call of request.calls) {
        this.calls.fail(call, { code: 'InvalidCommand', message, retryable: false, outcome: certain });
      }
      this.flight.resendWanted = true;
      return;
    }
    this.onRefusal(refusal, nowMs);
    this.tellOfFullDisk(refusal, request, nowMs);
  }

  /**
   * For as long as another replica may take over the call waits. After that it fails, if it certainly was not admitted:
   * what was issued behind it, reads above all, need not wait for room on a disk.
   */
  private tellOfFullDisk(refusal: Refusal, request: Request | undefined, nowMs: number): void {
    if (refusal.reason !== 'disk-full') {
      this.diskFullSinceMs = null;
      return;
    }
    this.diskFullSinceMs ??= nowMs;
    if (nowMs - this.diskFullSinceMs < this.timing.diskFullMs) return;
    if (request !== undefined && !certainlyNotAdmitted(request)) return;
    const { queue } = this.calls;
    // Without a session nothing was sent yet: what waits for one is told instead.
    const calls = request?.calls ?? (queue.peek()?.type === 'command' ? queue.batch() : []);
    for (const call of calls) this.calls.fail(call, failure('DiskFull', 'not-applied', diskFullText));
  }

  private onQueryRefused(number: number, refusal: Refusal, nowMs: number): void {
    const query = this.flight.queries.get(number);
    if (query === undefined) return;
    query.onWire = false;
    if (refusal.reason === 'invalid') {
      this.flight.queries.delete(number);
      const message = refusal.message ?? 'the replica found the query invalid';
      return this.calls.fail(query.call, { code: 'InvalidCommand', message, retryable: false, outcome: 'not-applied' });
    }
    this.onRefusal(refusal, nowMs);
  }

  private onRefusal(refusal: Refusal, nowMs: number): void {
    this.flight.resendWanted = true;
    this.lastRefusal = refusal;
    if (this.links.learn(refusal.view, refusal.primary)) return this.onView(true);
    // One turn's refusals count once: they come together and say the same.
    if (nowMs >= this.pausedUntilMs) {
      const { pauseMaxMs } = this.timing;
      const full = refusal.reason === 'overloaded' || refusal.reason === 'window-full';
      const factor = full ? 2 ** Math.min(this.refusals, 6) : 1;
      // A replica that is on its way somewhere is asked again soon: writes stand still until it answers.
      const wantedMs = full ? refusal.retryAfterMs * factor : Math.min(refusal.retryAfterMs, this.timing.unsettledMs);
      const pauseMs = Math.min(pauseMaxMs, Math.max(tickMs / 2, wantedMs));
      this.pausedUntilMs = nowMs + pauseMs * (0.75 + randomFloat(this.options.random) / 2);
      this.refusals++;
    }
  }

  /** The table no longer has this session. What may have been admitted is unknown; the rest starts over. */
  private onEvicted(session: SessionNumber): void {
    if (session !== this.session || session === noSession) return;
    const again: Call[] = [];
    for (const request of this.flight.requests.values()) {
      if (certainlyNotAdmitted(request)) {
        again.push(...request.calls);
        continue;
      }
      const text = 'The session was evicted while the command was in flight: too many clients, or too long idle.';
      for (const call of request.calls) this.calls.fail(call, failure('SessionEvicted', 'unknown', text));
    }
    for (const { call } of this.flight.queries.values()) again.push(call);
    this.flight.clear();
    this.calls.requeue(again);
    this.lastSession = session;
    this.session = noSession;
    this.registrationSentMs = null;
  }

  /** Our number under another body: a bug somewhere, and no way to tell what became of these calls. */
  private onMismatch(session: SessionNumber, number: RequestNumber): void {
    const request = session === this.session ? this.flight.requests.get(number) : undefined;
    if (request === undefined) return;
    this.flight.forget(request);
    const text = `Request ${number} of session ${session} was used before with another body.`;
    for (const call of request.calls) this.calls.fail(call, failure('ProtocolError', 'unknown', text));
  }

  // ---- the end

  private close(): void {
    for (const id of this.calls.ids()) this.giveUp(id, 'Closed', 'The client was closed.');
    this.links.closeAll();
    this.outbox = [];
    this.closed = true;
  }

  private refuseClosed(input: SessionInput): readonly SessionOutput[] {
    if (input.type !== 'command' && input.type !== 'query') return empty;
    const closed = failure('Closed', 'not-applied', 'The client was closed.');
    return [{ type: 'settled', call: input.call, result: { type: 'failure', failure: closed } }];
  }
}

export const createClientSession = (options: SessionOptions): ClientSession => new Session(options);
