import {
  makePrepare,
  op as toOp,
  pipelineMax,
  type Prepare,
  prepareBodyBytesMax,
  prepareBody,
  requestBodyBytesMax,
  requestQueueBytesMax,
  requestQueueMax,
  requestsPerPrepareMax,
  unreachable,
  view as toView,
  assert,
} from '@kimberlite/base';
import { replyOutcome, replySession } from './apply.ts';
import { decodeBatch, emptyBatchBytes, encodeBatch, requestBytes } from './batch.ts';
import { checkpointsLag } from './checkpoint.ts';
import type { ClientRequest, RefusalReason } from './client.ts';
import { clockVerdict, nextTimestamp } from './clock.ts';
import { isSuspect } from './divergence.ts';
import { takeBody } from './log-writes.ts';
import { epochEnds, takeSystemOp } from './members.ts';
import { watchWaiting } from './normal.ts';
import { type Admission, headId, isNormalPrimary, type Replica, setEntry } from './replica.ts';
import { armTimer, broadcast, notify, refuseRequest } from './send.ts';
import { sessionFacts, sessionRow } from './sessions.ts';
import { systemClient } from './system-op.ts';
import { jittered } from './timeouts.ts';

// The primary's intake: session checks, the queue, batches, and the bound on what is in flight (section 4.1).

const admissionKey = (request: ClientRequest): string => `${request.client}/${request.session}`;

/** Why this replica takes no requests at all just now; null: it does. */
export function whyNotServing<S>(r: Replica<S>): RefusalReason | null {
  if (r.stopping) return 'stopping';
  if (r.status === 'recovering-head') return 'recovering';
  if (r.status === 'view-change') return 'view-change';
  if (!isNormalPrimary(r)) return 'not-primary';
  if (isSuspect(r)) return 'quarantined';
  if (r.silent) return 'unavailable';
  return r.serving ? null : 'recovering';
}

/** What is wrong with a request whatever the state; null: nothing. */
function malformed(request: ClientRequest): string | null {
  if (request.client === systemClient) return 'this client id is reserved';
  const register = request.session === 0;
  if (register !== (request.number === 0)) return 'session and request number are 0 together or not at all';
  if (register && request.body.length > 0) return 'a registration has no body';
  if (request.body.length > requestBodyBytesMax) return 'the request is too large';
  return null;
}

/** Takes everything that one turn of the host brought before it prepares, so that it becomes one batch. */
export function onClientRequests<S>(r: Replica<S>, requests: readonly ClientRequest[]): void {
  for (const request of requests) onClientRequest(r, request);
  startPrepares(r);
}

function onClientRequest<S>(r: Replica<S>, request: ClientRequest): void {
  const wrong = malformed(request);
  if (wrong !== null) return refuseRequest(r, request, 'invalid', wrong);
  const reason = whyNotServing(r);
  if (reason !== null) return refuseRequest(r, request, reason);
  const admission = r.admissions.get(admissionKey(request));
  const inFlight = (admission?.inFlight.has(request.number) || admission?.waiting.has(request.number)) ?? false;
  if (isQueueFull(r, request)) refuseWaiting(r, 'overloaded');
  const queueFull = isQueueFull(r, request);
  const { primary } = sessionRow(sessionFacts(r, request, { inFlight, queueFull }));
  switch (primary) {
    case 'resend-session':
      r.mark('session-told-again');
      return replySession(r, request);
    case 'resend-outcome': {
      r.mark('outcome-told-again');
      const outcome = r.sessions.get(request.client)?.outcomes.get(request.number);
      if (outcome !== undefined) replyOutcome(r, request, outcome);
      return;
    }
    case 'evicted':
      r.mark('evicted');
      return notify(r, request.client, { type: 'evicted', session: request.session });
    case 'mismatch': {
      r.mark('mismatch');
      const { session, number } = request;
      return notify(r, request.client, { type: 'mismatch', session, number });
    }
    case 'window-full':
    case 'overloaded':
      r.mark(primary);
      return refuseRequest(r, request, primary);
    case 'silence':
      r.mark(r.applied < request.session ? 'session-unknown-yet' : 'below-floor');
      return;
    case 'ignore':
      return;
    case 'admit':
      if (r.diskFull) {
        r.mark('disk-full-refused');
        return refuseRequest(r, request, 'disk-full');
      }
      if (clockVerdict(r).type !== 'agreed') {
        r.mark('clock-unsynchronized');
        return refuseRequest(r, request, 'clock-unsynchronized');
      }
      return admit(r, request);
    default:
      return unreachable(primary);
  }
}

const isQueueFull = <S>(r: Replica<S>, request: ClientRequest): boolean =>
  r.queuedCount >= requestQueueMax || r.queuedBytes + requestBytes(request) > requestQueueBytesMax;

function admissionOf<S>(r: Replica<S>, request: ClientRequest): Admission {
  const key = admissionKey(request);
  const known = r.admissions.get(key);
  if (known !== undefined) return known;
  const entry = r.sessions.get(request.client);
  const executed =
    entry !== undefined && entry.session === request.session ? Math.max(entry.executed, entry.floor - 1) : 0;
  const admission: Admission = {
    next: request.session === 0 ? 0 : executed + 1,
    inFlight: new Set(),
    waiting: new Map(),
  };
  r.admissions.set(key, admission);
  return admission;
}

/** Queues the request if it is its session's next; a later one waits for the gap to close, an earlier one is stale. */
function admit<S>(r: Replica<S>, request: ClientRequest): void {
  const admission = admissionOf(r, request);
  // Numbers below the floor are not wanted any more, so nothing waits for them.
  if (request.session !== 0) raiseNext(r, admission, request.floor);
  if (request.number < admission.next) return;
  r.queuedCount++;
  if (request.number > admission.next) r.mark('waits-for-predecessor');
  r.queuedBytes += requestBytes(request);
  admission.waiting.set(request.number, request);
  for (;;) {
    const next = admission.waiting.get(admission.next);
    if (next === undefined) break;
    admission.waiting.delete(admission.next);
    admission.inFlight.add(admission.next);
    admission.next++;
    r.queue.push(next);
  }
}

function raiseNext<S>(r: Replica<S>, admission: Admission, floor: number): void {
  if (floor <= admission.next) return;
  admission.next = floor;
  for (const [number, request] of admission.waiting) {
    if (number >= floor) continue;
    admission.waiting.delete(number);
    r.queuedCount--;
    r.queuedBytes -= requestBytes(request);
  }
}

/** Starts prepares while there is room: at once when idle, in ever larger batches when busy. */
export function startPrepares<S>(r: Replica<S>): void {
  while (mayPrepare(r) && hasWork(r)) {
    const timestamp = nextTimestamp(r);
    if (timestamp === null) return refuseQueued(r, 'clock-unsynchronized');
    const system = takeSystemOp(r, r.head + 1);
    const body = encodeBatch(system === null ? takeBatch(r) : [system]);
    const fields = { cluster: r.cluster, op: r.head + 1, view: r.view, parent: headId(r), timestamp, body };
    sendPrepare(r, makePrepare(fields, r.hasher));
  }
}

const mayPrepare = <S>(r: Replica<S>): boolean =>
  isNormalPrimary(r) && r.serving && r.head - r.commit < pipelineMax && !checkpointsLag(r) && !epochEnds(r);

const hasWork = <S>(r: Replica<S>): boolean => r.queue.length > 0 || r.members.queue.length > 0;

function takeBatch<S>(r: Replica<S>): readonly ClientRequest[] {
  let bytes = emptyBatchBytes;
  let count = 0;
  for (const request of r.queue) {
    bytes += requestBytes(request);
    if (count > 0 && (bytes > prepareBodyBytesMax || count >= requestsPerPrepareMax)) break;
    r.queuedBytes -= requestBytes(request);
    count++;
  }
  r.queuedCount -= count;
  return r.queue.splice(0, count);
}

/** Broadcasts and writes in parallel. At most one prepare per view and op: the head only grows within a view. */
function sendPrepare<S>(r: Replica<S>, prepare: Prepare): void {
  const { header } = prepare;
  assert(!r.log.has(header.op), () => `op ${header.op} was prepared before in this view`);
  setEntry(r, header.op, header.id, header);
  r.head = header.op;
  r.sent.set(header.op, { atUs: r.now, attempts: 0 });
  broadcast(r, prepareMessage(r, prepare));
  takeBody(r, prepare);
  armTimer(r, 'prepare', jittered(r, r.timing.prepareResendMs));
  watchWaiting(r);
}

export const prepareMessage = <S>(r: Replica<S>, prepare: Prepare) => ({
  type: 'prepare' as const,
  from: r.self,
  view: toView(r.view),
  commit: toOp(r.commit),
  round: r.startedRound,
  prepare,
});

/** Indexes the log above the applied op, inherited ops included, before anything is admitted (pitfall 56). */
export function openAdmission<S>(r: Replica<S>): void {
  if (!isNormalPrimary(r) || r.serving || r.applied < r.commit || !r.stateLoaded || isSuspect(r)) return;
  if (r.head > r.applied) r.mark('inherited-requests-indexed');
  for (let op = r.applied + 1; op <= r.head; op++) {
    const prepare = r.bodies.get(op);
    assert(prepare !== undefined, () => `the primary serves without op ${op}`);
    const batch = decodeBatch(prepareBody(prepare));
    assert(batch.ok, () => `op ${op} holds no batch`);
    for (const request of batch.value) {
      if (request.client === systemClient) continue;
      const admission = admissionOf(r, request);
      admission.inFlight.add(request.number);
      admission.next = Math.max(admission.next, request.number + 1);
    }
  }
  r.serving = true;
}

/** The request is applied: the session table knows it now. */
export function requestLeft<S>(r: Replica<S>, request: ClientRequest): void {
  if (r.admissions.size === 0) return;
  const key = admissionKey(request);
  const admission = r.admissions.get(key);
  if (admission === undefined) return;
  admission.inFlight.delete(request.number);
  if (admission.inFlight.size === 0 && admission.waiting.size === 0) r.admissions.delete(key);
}

/** Empties the queue and the gaps; none of it was prepared, so all of it is certainly not admitted. */
export function refuseQueued<S>(r: Replica<S>, reason: RefusalReason): void {
  if (r.queue.length > 0) r.mark('queued-then-refused');
  for (const request of r.queue) {
    refuseRequest(r, request, reason);
    const admission = r.admissions.get(admissionKey(request));
    if (admission === undefined) continue;
    admission.inFlight.delete(request.number);
    // It was not prepared after all: the session goes on from here.
    admission.next = Math.min(admission.next, request.number);
  }
  r.queue = [];
  refuseWaiting(r, reason);
  for (const [key, admission] of r.admissions) if (admission.inFlight.size === 0) r.admissions.delete(key);
  r.queuedCount = 0;
  r.queuedBytes = 0;
}

/**
 * Empties the gaps. A predecessor that was refused may never be sent again, for the client may be gone: what waits for
 * it must not take up the queue for good.
 */
function refuseWaiting<S>(r: Replica<S>, reason: RefusalReason): void {
  if (r.queuedCount === r.queue.length) return;
  for (const [key, admission] of r.admissions) {
    for (const request of admission.waiting.values()) {
      refuseRequest(r, request, reason);
      r.queuedCount--;
      r.queuedBytes -= requestBytes(request);
    }
    admission.waiting.clear();
    if (admission.inFlight.size === 0) r.admissions.delete(key);
  }
}
