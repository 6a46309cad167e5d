import { op as toOp, queryQueueMax, timestamp as toTimestamp, unreachable } from '@kimberlite/base';
import type { ClientQuery, ClientRequest, RefusalReason } from './client.ts';
import { isSuspect } from './divergence.ts';
import { sendHeartbeat, watchWaiting } from './normal.ts';
import { startPrepares, openAdmission, whyNotServing } from './pipeline.ts';
import { type Captured, isNormalPrimary, type Replica, type WaitingQuery } from './replica.ts';
import { armTimer, disarm, hasPeers, notify, refuseQuery } from './send.ts';

// Queries (Table F): linearizable without a log write, by a confirmation round that starts after the query arrived.

const requestKey = (of: { readonly client: string; readonly session: number }, number: number): string =>
  `${of.client}/${of.session}/${number}`;

const capture = <S>(r: Replica<S>): Captured<S> => ({ state: r.state, op: r.applied, timestamp: r.appliedTimestamp });

export function onClientQueries<S>(r: Replica<S>, queries: readonly ClientQuery[]): void {
  for (const query of queries) onClientQuery(r, query);
  startRound(r);
}

function onClientQuery<S>(r: Replica<S>, query: ClientQuery): void {
  const { level } = query;
  // The state is still being read from a checkpoint, or fetched.
  if (isSuspect(r)) return refuseQuery(r, query, 'quarantined');
  if (!r.stateLoaded) return refuseQuery(r, query, 'recovering');
  switch (level.type) {
    case 'local':
      return answer(
        r,
        query,
        capture(r),
        isNormalPrimary(r) ? 0 : r.primaryHeardUs === null ? null : r.now - r.primaryHeardUs,
      );
    case 'at-least':
      return onPositionQuery(r, query, level.position);
    case 'linearizable':
      return onLinearizableQuery(r, query);
    default:
      return unreachable(level);
  }
}

function onPositionQuery<S>(r: Replica<S>, query: ClientQuery, position: number): void {
  if (r.machine.position(r.state) >= position) return answer(r, query, capture(r));
  if (r.stopping) return refuseQuery(r, query, 'stopping');
  if (r.positionQueries.size >= queryQueueMax) return refuseQuery(r, query, 'overloaded');
  r.positionQueries.set(r.querySequence++, { query, position, deadlineUs: deadline(r) });
  armTimer(r, 'read-round', r.timing.queryExpiryMs);
}

const deadline = <S>(r: Replica<S>): number => r.now + r.timing.queryTimeoutMs * 1000;

/** Row "arrive" of Table F. */
function onLinearizableQuery<S>(r: Replica<S>, query: ClientQuery): void {
  const reason = whyNotServing(r);
  if (reason !== null) return refuseQuery(r, query, reason);
  if (r.queries.size >= queryQueueMax) return refuseQuery(r, query, 'overloaded');
  const order = orderOf(r, query);
  if (order === 'evicted') return notify(r, query.client, { type: 'evicted', session: query.session });
  const key = r.querySequence++;
  // c of Table F; a new primary answers nothing before its inherited ops are applied (pitfall 41).
  const needed = Math.max(r.commit, r.inherited);
  const ordered = order === 'applied';
  const captured = ordered && r.applied >= needed ? capture(r) : null;
  r.queries.set(key, { query, needed, round: r.nextRound, deadlineUs: deadline(r), ordered, captured });
  r.wantedRound = r.nextRound;
  if (!ordered) {
    r.mark('read-ordered-behind-request');
    const after = requestKey(query, query.after);
    const waiting = r.queriesAfter.get(after);
    if (waiting === undefined) r.queriesAfter.set(after, [key]);
    else waiting.push(key);
  } else if (captured === null) {
    r.mark('read-waits-for-state');
    r.queriesBehind.add(key);
  }
  armTimer(r, 'read-round', r.timing.queryExpiryMs);
}

/** Whether the request the query comes after has been applied. */
function orderOf<S>(r: Replica<S>, query: ClientQuery): 'applied' | 'waits' | 'evicted' {
  if (query.after === 0) return 'applied';
  const entry = r.sessions.get(query.client);
  if (entry === undefined || entry.session !== query.session) return r.applied >= query.session ? 'evicted' : 'waits';
  return query.after <= entry.executed || query.after < entry.floor ? 'applied' : 'waits';
}

/** Row "start": one round at a time, and it serves every query that arrived before it started. */
export function startRound<S>(r: Replica<S>): void {
  if (!isNormalPrimary(r) || r.confirmedRound < r.startedRound) return;
  if (r.wantedRound < r.nextRound) return;
  r.startedRound = r.nextRound;
  r.nextRound++;
  r.rounds[r.self] = r.startedRound;
  if (hasPeers(r)) sendHeartbeat(r);
  watchWaiting(r);
  confirmRounds(r);
}

/** Rows "reply" and "confirm": the caller has checked that the echo is from a replica normal in this view. */
export function onRoundEcho<S>(r: Replica<S>, from: number, round: number): void {
  if (round <= (r.rounds[from] ?? 0) || round > r.startedRound) return;
  r.rounds[from] = round;
  confirmRounds(r);
}

function confirmRounds<S>(r: Replica<S>): void {
  const descending = [...r.rounds].sort((a, b) => b - a);
  const confirmed = descending[r.quorums.replication - 1] ?? 0;
  if (confirmed <= r.confirmedRound) return;
  r.confirmedRound = confirmed;
  if (r.waitingSinceUs !== null) r.waitingSinceUs = r.now;
  answerConfirmed(r);
  startRound(r);
}

/** Row "answer". Rounds rise in the order of arrival, so the first query of a later round ends the walk. */
function answerConfirmed<S>(r: Replica<S>): void {
  for (const [key, q] of r.queries) {
    if (q.round > r.confirmedRound) break;
    if (q.captured === null) continue;
    r.queries.delete(key);
    answer(r, q.query, q.captured);
  }
}

function answer<S>(r: Replica<S>, query: ClientQuery, at: Captured<S>, staleForUs?: number | null): void {
  const body = r.machine.query(at.state, query.body);
  const base = {
    type: 'answer' as const,
    query: query.query,
    op: toOp(at.op),
    timestamp: toTimestamp(at.timestamp),
    body,
  };
  notify(r, query.client, staleForUs === undefined ? base : { ...base, staleForUs });
}

/** Captures for the queries that come right after this request, before anything later of its session runs. */
export function onRequestApplied<S>(r: Replica<S>, op: number, request: ClientRequest): void {
  if (r.queriesAfter.size === 0) return;
  const key = requestKey(request, request.number);
  const waiting = r.queriesAfter.get(key);
  if (waiting === undefined) return;
  r.queriesAfter.delete(key);
  for (const sequence of waiting) {
    const q = r.queries.get(sequence);
    if (q === undefined) continue;
    // An inherited op may have been acknowledged by the primary before: others may know of all that is in it.
    const isWhole = op >= q.needed && op > r.inherited;
    const captured = isWhole ? { state: r.state, op, timestamp: r.appliedTimestamp } : null;
    if (captured === null) r.queriesBehind.add(sequence);
    r.queries.set(sequence, { ...q, ordered: true, captured });
  }
}

/**
 * Captures for the queries that only waited for this op. Before the next one is applied: that may already be a later
 * call of the same client, and a query sees none of those.
 */
export function onOpApplied<S>(r: Replica<S>): void {
  for (const sequence of r.queriesBehind) {
    const q = r.queries.get(sequence);
    if (q === undefined) r.queriesBehind.delete(sequence);
    else if (r.applied >= q.needed) {
      r.queriesBehind.delete(sequence);
      r.queries.set(sequence, { ...q, captured: capture(r) });
    }
  }
}

/** After ops were applied: queries that only waited for that, then whatever the commits made room for. */
export function onStateAdvanced<S>(r: Replica<S>): void {
  if (r.queries.size > 0) answerConfirmed(r);
  if (r.positionQueries.size > 0) answerPositions(r);
  openAdmission(r);
  startPrepares(r);
}

function answerPositions<S>(r: Replica<S>): void {
  const position = r.machine.position(r.state);
  for (const [key, waiting] of r.positionQueries) {
    if (position < waiting.position) continue;
    r.positionQueries.delete(key);
    answer(r, waiting.query, capture(r));
  }
}

/** Row "fail", timeout. */
export function onReadRoundTimer<S>(r: Replica<S>): void {
  disarm(r, 'read-round');
  for (const [key, q] of r.queries) {
    if (q.deadlineUs > r.now) break;
    r.mark('read-expired');
    r.queries.delete(key);
    refuseQuery(r, q.query, 'unavailable');
  }
  for (const [key, q] of r.positionQueries) {
    if (q.deadlineUs > r.now) break;
    r.positionQueries.delete(key);
    refuseQuery(r, q.query, 'unavailable');
  }
  dropStaleOrder(r);
  if (r.queries.size + r.positionQueries.size > 0) armTimer(r, 'read-round', r.timing.queryExpiryMs);
}

function dropStaleOrder<S>(r: Replica<S>): void {
  for (const [key, waiting] of r.queriesAfter) {
    const left = waiting.filter((sequence) => r.queries.has(sequence));
    if (left.length === 0) r.queriesAfter.delete(key);
    else if (left.length < waiting.length) r.queriesAfter.set(key, left);
  }
}

/** Row "fail", the view was left: a read started in it does not complete in another (pitfall 13). */
export function refuseQueries<S>(r: Replica<S>, reason: RefusalReason): void {
  if (r.queries.size > 0) r.mark('read-left-with-its-view');
  for (const [, q] of r.queries) refuseQuery(r, q.query, reason);
  r.queries.clear();
  r.queriesAfter.clear();
  r.queriesBehind.clear();
}

/** Those of every level: the state they would be answered from is in doubt. */
export function refuseEveryQuery<S>(r: Replica<S>, reason: RefusalReason): void {
  refuseQueries(r, reason);
  for (const { query } of r.positionQueries.values()) refuseQuery(r, query, reason);
  r.positionQueries.clear();
}

export type { WaitingQuery };
