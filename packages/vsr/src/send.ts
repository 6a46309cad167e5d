import {
  op as toOp,
  type ReplicaId,
  replicaId,
  sessionNumber,
  type ClientId,
  type RequestNumber,
  type View,
  type SessionNumber,
  view as toView,
} from '@kimberlite/base';
import type { ClientReply, Refusal, RefusalReason } from './client.ts';
import type { TimerName } from './event.ts';
import { membersOf } from './group.ts';
import type { Message } from './message.ts';
import { primaryOf, type Replica } from './replica.ts';

// What a replica says, and to whom.

export function send<S>(r: Replica<S>, to: number, message: Message): void {
  if (to !== r.self) r.out.push({ type: 'send-message', to: replicaId(to), message });
}

export function broadcast<S>(r: Replica<S>, message: Message): void {
  const to = otherReplicas(r);
  if (to.length > 0) r.out.push({ type: 'broadcast', to, message });
}

export function setTimer<S>(r: Replica<S>, timer: TimerName, delayMs: number): void {
  r.out.push({ type: 'set-timer', timer, delayMs });
}

export function cancelTimer<S>(r: Replica<S>, timer: TimerName): void {
  r.out.push({ type: 'cancel-timer', timer });
}

/** Sets a timer unless it runs already; the handler calls `disarm` first. Saves a timer per message. */
export function armTimer<S>(r: Replica<S>, timer: TimerName, delayMs: number): void {
  if (r.armed.has(timer)) return;
  r.armed.add(timer);
  setTimer(r, timer, delayMs);
}

export const disarm = <S>(r: Replica<S>, timer: TimerName): void => {
  r.armed.delete(timer);
};

export function notify<S>(r: Replica<S>, client: ClientId, reply: ClientReply): void {
  r.out.push({ type: 'notify-client', client, reply });
}

/**
 * Where clients are sent: the durable log view and its primary. A quorum has been in that view, so no lower one can
 * commit any more. A view that is durable here and only joined may be one that nobody else will reach: a client that
 * waits for its primary would pass by the one that serves (pitfall 32).
 */
export function settledView<S>(r: Replica<S>): { readonly view: View; readonly primary: ReplicaId } {
  const view = toView(r.durable.logView);
  return { view, primary: primaryOf(r, view) };
}

export function refusal<S>(r: Replica<S>, reason: RefusalReason, message?: string): Refusal {
  const base = { reason, retryAfterMs: r.timing.retryAfterMs, ...settledView(r) };
  return message === undefined ? base : { ...base, message };
}

export function refuseRequest<S>(
  r: Replica<S>,
  request: { readonly client: ClientId; readonly session: SessionNumber; readonly number: RequestNumber },
  reason: RefusalReason,
  message?: string,
): void {
  const { client, session, number } = request;
  notify(r, client, { type: 'refused', session, number, refusal: refusal(r, reason, message) });
}

export function refuseQuery<S>(
  r: Replica<S>,
  query: { readonly client: ClientId; readonly query: number },
  reason: RefusalReason,
): void {
  notify(r, query.client, { type: 'query-refused', query: query.query, refusal: refusal(r, reason) });
}

/** The others of the group, standbys included. */
export const otherReplicas = <S>(r: Replica<S>): readonly ReplicaId[] =>
  membersOf(r.group).flatMap((i) => (i === r.self ? [] : [replicaId(i)]));

export const hasPeers = <S>(r: Replica<S>): boolean => otherReplicas(r).length > 0;

export { sessionNumber, toOp, toView };
