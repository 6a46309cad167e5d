import { assert, type Hasher, type RequestNumber, requestNumber, sessionWindowMax } from '@kimberlite/base';
import type { Call } from './call-queue.ts';
import { bytesInFlightMax, type ClientTiming, queriesInFlightMax } from './limits.ts';
import { certainlyNotAdmitted, loseTransmissions, makeRequest, rebuild, type Request } from './request.ts';

/** A query that was taken from the queue. */
export interface QueryInFlight {
  readonly query: number;
  readonly call: Call;
  /** It takes effect after this request and before any later one; 0: none. */
  after: RequestNumber;
  onWire: boolean;
  attempts: number;
  sentMs: number;
}

export const noRequest = requestNumber(0);

/** Requests and queries with a number, in ascending order, and what of them is on the present connection. */
export class RequestsInFlight {
  readonly requests = new Map<number, Request>();
  readonly queries = new Map<number, QueryInFlight>();
  /** Something is on no wire: the next pump sends it again, in order. */
  resendWanted = false;
  private readonly timing: ClientTiming;
  private readonly hasher: Hasher;
  private nextNumber = 1;
  private nextQuery = 1;
  private bytes = 0;
  /** When to look again for what was sent long ago; not at every turn, since there may be thousands. */
  private nextLookMs = 0;

  constructor(timing: ClientTiming, hasher: Hasher) {
    this.timing = timing;
    this.hasher = hasher;
  }

  /** The lowest number whose outcome is still wanted. */
  floor(): RequestNumber {
    for (const number of this.requests.keys()) return requestNumber(number);
    return requestNumber(this.nextNumber);
  }

  hasRoom(requestsMax: number): boolean {
    if (this.requests.size === 0) return true;
    if (this.requests.size >= requestsMax || this.bytes >= bytesInFlightMax) return false;
    return this.nextNumber < this.floor() + sessionWindowMax;
  }

  hasRoomForQuery(): boolean {
    return this.queries.size < queriesInFlightMax;
  }

  addRequest(calls: readonly Call[]): Request {
    const request = makeRequest(requestNumber(this.nextNumber++), calls, this.hasher);
    this.requests.set(request.number, request);
    this.bytes += request.body.length;
    return request;
  }

  addQuery(call: Call): QueryInFlight {
    const last = requestNumber(this.nextNumber - 1);
    // What came before and is settled needs no waiting for.
    const after = this.requests.has(last) ? last : noRequest;
    const query: QueryInFlight = { query: this.nextQuery++, call, after, onWire: false, attempts: 0, sentMs: 0 };
    this.queries.set(query.query, query);
    return query;
  }

  forget(request: Request): void {
    assert(this.requests.get(request.number) === request, 'a request is forgotten once');
    this.requests.delete(request.number);
    this.bytes -= request.body.length;
  }

  /** Drops settled calls from a request that certainly was not admitted. */
  refresh(request: Request): void {
    if (!certainlyNotAdmitted(request)) return;
    this.bytes -= request.body.length;
    rebuild(request, this.hasher);
    this.bytes += request.body.length;
  }

  /** Numbers at the low end that nobody waits for: the floor passes them, and the primary with it. */
  advance(): void {
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

  /** Whatever was sent on the active connection will not be answered there. */
  loseAll(): void {
    for (const request of this.requests.values()) loseTransmissions(request);
    for (const query of this.queries.values()) query.onWire = false;
    this.resendWanted = true;
  }

  /** What was sent long ago without an answer goes out again. */
  loseLate(nowMs: number): void {
    if (nowMs < this.nextLookMs) return;
    this.nextLookMs = nowMs + this.timing.resendMs / 8;
    const { resendMs, resendMaxMs } = this.timing;
    const due = (sentMs: number, attempts: number): boolean =>
      nowMs - sentMs > Math.min(resendMaxMs, resendMs * 2 ** Math.min(attempts - 1, 16));
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
  }

  oldestSentMs(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const request of this.requests.values()) if (request.onWire > 0) oldest = Math.min(oldest, request.sentMs);
    for (const query of this.queries.values()) if (query.onWire) oldest = Math.min(oldest, query.sentMs);
    return oldest;
  }

  /** Everything on no wire, in the order of issue: queries between the requests they belong between. */
  unsent(): readonly (Request | QueryInFlight)[] {
    const queries = [...this.queries.values()].filter((query) => !query.onWire);
    const unsent: (Request | QueryInFlight)[] = [];
    let at = 0;
    const queriesBelow = (number: number): void => {
      for (let query = queries[at]; query !== undefined && query.after < number; query = queries[++at])
        unsent.push(query);
    };
    for (const request of this.requests.values()) {
      if (request.onWire > 0) continue;
      queriesBelow(request.number);
      unsent.push(request);
    }
    queriesBelow(Number.POSITIVE_INFINITY);
    return unsent;
  }

  /** The session is gone, and its numbers with it. */
  clear(): void {
    this.requests.clear();
    this.queries.clear();
    this.bytes = 0;
    this.nextNumber = 1;
    this.resendWanted = false;
  }
}
