import {
  assert,
  commandsPerRequestMax,
  randomFloat,
  type RequestNumber,
  requestBodyBytesMax,
  requestNumber,
  type SessionNumber,
  sessionNumber,
  sessionWindowMax,
  unreachable,
} from '@kimberlite/base';
import {
  batchOverheadBytes,
  type ClientMessage,
  decodeOutcomes,
  decodeQueryAnswer,
  type ServerMessage,
} from '@kimberlite/wire';
import { type Call, CallQueue } from './call-queue.ts';
import { EndpointBook } from './endpoint-book.ts';
import { type CallFailure, type ClientErrorCode, failure } from './failure.ts';
import {
  bytesInFlightMax,
  type ClientTiming,
  defaultTiming,
  idleTickMs,
  pendingBytesMax,
  pendingCallsMax,
  queriesInFlightMax,
  requestsGatheringMax,
  requestsInFlightMax,
  tickMs,
} from './limits.ts';
import { type Link, Links } from './links.ts';
import { rejection } from './rejection.ts';
import { certainlyNotAdmitted, loseTransmissions, makeRequest, rebuild, type Request } from './request.ts';
import type {
  CallId,
  CallResult,
  ClientSession,
  SessionInput,
  SessionOptions,
  SessionOutput,
  SessionView,
} from './session-types.ts';

type Reply = Extract<ServerMessage, { type: 'reply' }>['reply'];
type Refusal = Extract<Reply, { type: 'refused' }>['refusal'];

/** A query that was taken from the queue. */
interface QueryInFlight {
  readonly query: number;
  readonly call: Call;
  /** It takes effect after this request and before any later one; 0: none. */
  after: RequestNumber;
  onWire: boolean;
  attempts: number;
  sentMs: number;
}

const noRequest = requestNumber(0);
const noSession = sessionNumber(0);
const empty: readonly SessionOutput[] = [];

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
  private nextNumber = 1;
  private nextQuery = 1;
  private readonly queue = new CallQueue();
  private queuedQueries = 0;
  private readonly requests = new Map<number, Request>();
  private readonly queries = new Map<number, QueryInFlight>();
  /** Every call that is not settled, and where it is: waiting (null) or in a request or query in flight. */
  private readonly live = new Map<CallId, { readonly call: Call; at: Request | QueryInFlight | null }>();
  private pendingBytes = 0;
  private bytesInFlight = 0;
  private nextDeadlineMs = Number.POSITIVE_INFINITY;

  /** Something in flight is on no wire: the next pump sends it again, in order. */
  private resendWanted = false;
  /** When to look again for what was sent long ago; not at every turn, since there may be thousands. */
  private nextLookMs = 0;
  private pausedUntilMs = 0;
  private refusals = 0;
  private lastRefusal: Refusal | null = null;
  private welcomed = false;
  private closed = false;

  constructor(options: SessionOptions) {
    this.options = options;
    this.timing = { ...defaultTiming, ...options.timing };
    this.book = new EndpointBook(options.endpoints, this.timing, options.random);
    this.links = new Links(options, this.book, this.timing, (output) => this.outputs.push(output));
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
    if (this.live.size > 0 || this.links.scout !== null || !this.welcomed) return tickMs;
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
      pending: this.live.size,
      troubles: this.book.troubles(),
    };
  }

  private take(input: SessionInput, nowMs: number): void {
    switch (input.type) {
      case 'command':
      case 'query':
        return this.onCall(input, nowMs);
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

  private onCall(input: Extract<SessionInput, { type: 'command' | 'query' }>, nowMs: number): void {
    assert(!this.live.has(input.call), 'a call id is used once');
    const problem = this.whyNotTake(input.packed);
    if (problem !== null) {
      this.outputs.push({ type: 'settled', call: input.call, result: { type: 'failure', failure: problem } });
      return;
    }
    const call: Call = {
      id: input.call,
      type: input.type,
      packed: input.packed,
      level: input.type === 'query' ? input.level : { type: 'linearizable' },
      deadlineMs: nowMs + (input.timeoutMs ?? this.timing.callTimeoutMs),
      settled: false,
    };
    this.live.set(call.id, { call, at: null });
    this.pendingBytes += call.packed.length;
    this.nextDeadlineMs = Math.min(this.nextDeadlineMs, call.deadlineMs);
    if (call.type === 'query') this.queuedQueries++;
    this.queue.push(call);
  }

  private whyNotTake(packed: Uint8Array): CallFailure | null {
    const bytesMax = requestBodyBytesMax - batchOverheadBytes;
    if (packed.length > bytesMax) {
      const text = `One command or query may have ${bytesMax} bytes; this one has ${packed.length}. Split it.`;
      return failure('RequestTooLarge', 'not-applied', text);
    }
    if (this.live.size < pendingCallsMax && this.pendingBytes + packed.length <= pendingBytesMax) return null;
    const text = `${this.live.size} calls (${this.pendingBytes} bytes) are pending in this client; await some before issuing more.`;
    return failure('Overloaded', 'not-applied', text);
  }

  private settle(call: Call, result: CallResult): void {
    if (call.settled) return;
    call.settled = true;
    const entry = this.live.get(call.id);
    if (entry?.at === null && call.type === 'query') this.queuedQueries--;
    this.live.delete(call.id);
    this.pendingBytes -= call.packed.length;
    this.outputs.push({ type: 'settled', call: call.id, result });
  }

  private fail(call: Call, problem: CallFailure): void {
    this.settle(call, { type: 'failure', failure: problem });
  }

  /** The caller will not wait any longer; what may be said depends on what was sent and what became of it. */
  private giveUp(id: CallId, code: ClientErrorCode, why: string): void {
    const entry = this.live.get(id);
    if (entry === undefined) return;
    const { call, at } = entry;
    if (at !== null && 'query' in at) this.queries.delete(at.query);
    const certain = at === null || 'query' in at || certainlyNotAdmitted(at);
    const text = certain ? why : `${why} The command was sent and may still take effect.`;
    this.fail(call, failure(code, certain ? 'not-applied' : 'unknown', text));
  }

  private expire(nowMs: number): void {
    if (nowMs < this.nextDeadlineMs) return;
    let next = Number.POSITIVE_INFINITY;
    const late: CallId[] = [];
    for (const { call } of this.live.values()) {
      if (call.deadlineMs <= nowMs) late.push(call.id);
      else next = Math.min(next, call.deadlineMs);
    }
    this.nextDeadlineMs = next;
    for (const id of late) {
      const overloaded = this.lastRefusal?.reason === 'overloaded';
      this.giveUp(id, overloaded ? 'Overloaded' : 'Timeout', `No answer in time: ${this.situation()}.`);
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
    this.advance();
    const promoted = this.links.maintain(nowMs, this.hasDoubt(nowMs));
    if (promoted) {
      this.loseWire();
      this.pausedUntilMs = 0;
      this.lastRefusal = null;
    }
    this.resendLate(nowMs);
    this.pump(nowMs);
  }

  /** The active link does not do what is asked of it: it refuses, or it is silent with something in flight. */
  private hasDoubt(nowMs: number): boolean {
    const { active } = this.links;
    if (active === null) return true;
    const reason = this.lastRefusal?.reason;
    if (reason !== undefined && reason !== 'overloaded' && reason !== 'window-full') return true;
    const before = nowMs - this.timing.silenceMs;
    return active.heardMs < before && this.oldestSentMs() < before;
  }

  private oldestSentMs(): number {
    let oldest = this.registrationSentMs ?? Number.POSITIVE_INFINITY;
    for (const request of this.requests.values()) if (request.onWire > 0) oldest = Math.min(oldest, request.sentMs);
    for (const query of this.queries.values()) {
      if (query.onWire) {
        oldest = Math.min(oldest, query.sentMs);
        break;
      }
    }
    return oldest;
  }

  /** Numbers at the low end that nobody waits for: the floor passes them, and the primary with it. */
  private advance(): void {
    for (const request of this.requests.values()) {
      if (request.calls.some((call) => !call.settled)) return;
      this.forget(request);
      for (const query of this.queries.values()) {
        if (query.after !== request.number) continue;
        query.after = noRequest;
        query.onWire = false;
        this.resendWanted = true;
      }
    }
  }

  private forget(request: Request): void {
    this.requests.delete(request.number);
    this.bytesInFlight -= request.body.length;
  }

  /** The lowest number whose outcome is still wanted. */
  private floor(): RequestNumber {
    for (const number of this.requests.keys()) return requestNumber(number);
    return requestNumber(this.nextNumber);
  }

  /** Whatever was sent on the active link will not be answered there. */
  private loseWire(): void {
    for (const request of this.requests.values()) loseTransmissions(request);
    for (const query of this.queries.values()) query.onWire = false;
    this.registrationSentMs = null;
    this.resendWanted = true;
  }

  private resendLate(nowMs: number): void {
    if (nowMs < this.nextLookMs) return;
    this.nextLookMs = nowMs + this.timing.resendMs / 8;
    const due = (sentMs: number, attempts: number): boolean =>
      nowMs - sentMs > Math.min(this.timing.resendMaxMs, this.timing.resendMs * 2 ** Math.min(attempts - 1, 16));
    for (const request of this.requests.values()) {
      if (request.onWire === 0 || !due(request.sentMs, request.attempts)) continue;
      loseTransmissions(request);
      this.resendWanted = true;
    }
    for (const query of this.queries.values()) {
      if (!query.onWire || !due(query.sentMs, query.attempts)) continue;
      query.onWire = false;
      this.resendWanted = true;
    }
    if (this.registrationSentMs !== null && nowMs - this.registrationSentMs > this.timing.resendMs) {
      this.registrationSentMs = null;
    }
  }

  // ---- sending

  private pump(nowMs: number): void {
    if (nowMs < this.pausedUntilMs || this.links.active === null) return;
    if (this.resendWanted) this.resend(nowMs);
    for (let call = this.queue.peek(); call !== undefined; call = this.queue.peek()) {
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

  /** What is in flight but on no wire, in the order of its issue. */
  private resend(nowMs: number): void {
    this.resendWanted = false;
    const queries = [...this.queries.values()].filter((query) => !query.onWire);
    let at = 0;
    const sendQueries = (below: number): void => {
      for (; at < queries.length; at++) {
        const query = queries[at];
        if (query === undefined || query.after >= below) return;
        this.sendQuery(query, nowMs);
      }
    };
    for (const request of this.requests.values()) {
      if (request.onWire > 0) continue;
      sendQueries(request.number);
      if (certainlyNotAdmitted(request)) {
        this.bytesInFlight -= request.body.length;
        rebuild(request, this.options.hasher);
        this.bytesInFlight += request.body.length;
      }
      this.sendRequest(request, nowMs);
    }
    sendQueries(Number.POSITIVE_INFINITY);
  }

  private sendRequest(request: Request, nowMs: number): void {
    if (this.links.toPrimary() === null || this.session === noSession) {
      this.resendWanted = true;
      return;
    }
    request.onWire++;
    request.attempts++;
    request.sentMs = nowMs;
    const { number, checksum, body } = request;
    this.outbox.push({
      type: 'request',
      request: { session: this.session, number, floor: this.floor(), checksum, body },
    });
  }

  private sendQuery(query: QueryInFlight, nowMs: number): void {
    if (!this.mayAsk(query.call)) {
      this.resendWanted = true;
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
    if (this.queries.size >= queriesInFlightMax || !this.mayAsk(call)) return false;
    this.queue.shift();
    this.queuedQueries--;
    const after = requestNumber(this.nextNumber - 1);
    const query: QueryInFlight = {
      query: this.nextQuery++,
      call,
      // What came before and is settled needs no waiting for.
      after: this.requests.has(after) ? after : noRequest,
      onWire: false,
      attempts: 0,
      sentMs: 0,
    };
    this.place(call, query);
    this.queries.set(query.query, query);
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
    const most = this.queuedQueries > 0 ? requestsInFlightMax : requestsGatheringMax;
    if (this.requests.size >= most || (this.requests.size > 0 && this.bytesInFlight >= bytesInFlightMax)) return false;
    if (this.nextNumber >= this.floor() + sessionWindowMax) return false;
    const calls: Call[] = [];
    let bytes = batchOverheadBytes;
    for (let call = this.queue.peek(); call?.type === 'command'; call = this.queue.peek()) {
      bytes += call.packed.length;
      if (calls.length === commandsPerRequestMax || bytes > requestBodyBytesMax) break;
      calls.push(call);
      this.queue.shift();
    }
    assert(calls.length > 0, 'every command fits into a request of its own');
    const request = makeRequest(requestNumber(this.nextNumber++), calls, this.options.hasher);
    for (const call of calls) this.place(call, request);
    this.requests.set(request.number, request);
    this.bytesInFlight += request.body.length;
    this.sendRequest(request, nowMs);
    return true;
  }

  private place(call: Call, at: Request | QueryInFlight): void {
    const entry = this.live.get(call.id);
    assert(entry !== undefined, 'what is issued is waited for');
    entry.at = at;
  }

  private flushOutbox(): void {
    const { active } = this.links;
    if (this.outbox.length === 0) return;
    assert(active !== null, 'messages are made only for a connection that is there');
    for (const frame of this.options.codec.encodeClientFrames(this.outbox)) {
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
        this.resendWanted = true;
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
    const request = reply.session === this.session ? this.requests.get(reply.number) : undefined;
    if (request === undefined) return;
    this.forget(request);
    this.wentWell();
    const outcomes = decodeOutcomes(reply.body);
    if (!outcomes.ok || outcomes.value.length !== request.calls.length) {
      const text = `the reply cannot be read: ${outcomes.ok ? 'another number of outcomes' : outcomes.error.message}`;
      for (const call of request.calls) this.fail(call, failure('ProtocolError', 'unknown', text));
      return;
    }
    request.calls.forEach((call, i) => {
      const outcome = outcomes.value[i];
      if (outcome?.ok === true) this.settle(call, { type: 'outcome', outcome });
      else if (outcome !== undefined) this.fail(call, rejection(outcome.error, outcome.position));
    });
  }

  private onAnswer(reply: Extract<Reply, { type: 'answer' }>): void {
    const query = this.queries.get(reply.query);
    if (query === undefined) return;
    this.queries.delete(reply.query);
    this.wentWell();
    const answer = decodeQueryAnswer(reply.body);
    if (!answer.ok) {
      return this.fail(
        query.call,
        failure('ProtocolError', 'not-applied', `the answer cannot be read: ${answer.error.message}`),
      );
    }
    if (!answer.value.ok) return this.fail(query.call, rejection(answer.value.error));
    const staleForUs = reply.staleForUs ?? null;
    this.settle(query.call, { type: 'answer', answer: answer.value.value, op: reply.op, staleForUs });
  }

  private onRefused(session: SessionNumber, number: RequestNumber, refusal: Refusal, nowMs: number): void {
    if (session !== this.session) return;
    if (number === 0) this.registrationSentMs = null;
    const request = this.requests.get(number);
    if (request !== undefined && request.onWire > 0) request.onWire--;
    if (refusal.reason === 'invalid' && request !== undefined) {
      const certain = certainlyNotAdmitted(request) ? 'not-applied' : 'unknown';
      const message = refusal.message ?? 'the primary found the request invalid';
      for (const call of request.calls) {
        this.fail(call, { code: 'InvalidCommand', message, retryable: false, outcome: certain });
      }
      this.resendWanted = true;
      return;
    }
    this.onRefusal(refusal, nowMs);
  }

  private onQueryRefused(number: number, refusal: Refusal, nowMs: number): void {
    const query = this.queries.get(number);
    if (query === undefined) return;
    query.onWire = false;
    if (refusal.reason === 'invalid') {
      this.queries.delete(number);
      const message = refusal.message ?? 'the replica found the query invalid';
      return this.fail(query.call, { code: 'InvalidCommand', message, retryable: false, outcome: 'not-applied' });
    }
    this.onRefusal(refusal, nowMs);
  }

  private onRefusal(refusal: Refusal, nowMs: number): void {
    this.resendWanted = true;
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
    for (const request of this.requests.values()) {
      const certain = certainlyNotAdmitted(request);
      for (const call of request.calls) {
        if (call.settled) continue;
        if (certain) again.push(call);
        else {
          const text = 'The session was evicted while the command was in flight: too many clients, or too long idle.';
          this.fail(call, failure('SessionEvicted', 'unknown', text));
        }
      }
    }
    for (const { call } of this.queries.values()) again.push(call);
    again.sort((a, b) => a.id - b.id);
    for (const call of again) {
      const entry = this.live.get(call.id);
      if (entry !== undefined) entry.at = null;
      if (call.type === 'query') this.queuedQueries++;
    }
    this.queue.unshift(again);
    this.requests.clear();
    this.queries.clear();
    this.bytesInFlight = 0;
    this.lastSession = session;
    this.session = noSession;
    this.nextNumber = 1;
    this.registrationSentMs = null;
  }

  /** Our number under another body: a bug somewhere, and no way to tell what became of these calls. */
  private onMismatch(session: SessionNumber, number: RequestNumber): void {
    const request = session === this.session ? this.requests.get(number) : undefined;
    if (request === undefined) return;
    this.forget(request);
    const text = `Request ${number} of session ${session} was used before with another body.`;
    for (const call of request.calls) this.fail(call, failure('ProtocolError', 'unknown', text));
  }

  // ---- the end

  private close(): void {
    for (const id of [...this.live.keys()]) this.giveUp(id, 'Closed', 'The client was closed.');
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
