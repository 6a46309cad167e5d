import type { Local, LocalEvent } from './local.ts';
import { sometimesBit, sometimesProperties, type SometimesProperty } from './property.ts';
import type { Subject } from './replica-fields.ts';
import type { Ran } from './run-event.ts';
import { firstView, replicaCount } from './world.ts';

type Seen = (before: Subject, after: Subject, event: LocalEvent, ran: Ran) => boolean;

const isPrimary = (r: Subject): boolean => r.status === 'normal' && r.view % replicaCount === r.self;

/** Views in which the ops that this event committed by acks were made; the view it happened in last. */
function committedByAcks(before: Subject, after: Subject): readonly number[] {
  if (!isPrimary(before) || !isPrimary(after) || before.view !== after.view) return [];
  const views: number[] = [];
  for (let op = before.commit + 1; op <= after.commit; op++) views.push(after.log.get(op)?.header?.view ?? 0);
  return views;
}

const commitsIn =
  (view: number): Seen =>
  (before, after) =>
    after.view === view && committedByAcks(before, after).includes(view);

const seen: { readonly [Property in SometimesProperty]: Seen } = {
  'commits in view 1': commitsIn(firstView),
  'commits in view 2': commitsIn(firstView + 1),
  'commits in view 3': commitsIn(firstView + 2),
  'commits in view 4': commitsIn(firstView + 3),
  'a view change commits an inherited op': (before, after) =>
    committedByAcks(before, after).some((view) => view < after.view),
  'a nack truncates an op': (before, after, event) => {
    const chosen =
      after.logView === after.view && before.logView < after.view && after.view % replicaCount === after.self;
    return chosen && after.head < longestCandidate(before, event);
  },
  'a restarted replica takes part again': (before, after, _event, ran) => {
    if (ran.local.boots === 0 || after.status !== 'normal') return false;
    const acks = ran.sent.some(({ message }) => message.type === 'prepare-ok');
    return acks || committedByAcks(before, after).length > 0;
  },
  'a replica is unsure of its head': (_before, after) => after.status === 'recovering-head',
  'a request sent again is answered from the session table': (_before, after, event) =>
    event.type === 'request' && isPrimary(after) && after.serving && after.state.applied.includes(hexOf(event.request)),
  'a faulty slot is repaired': (before, after, event) =>
    event.type === 'log-written' && before.slots.get(event.op)?.faulty === true && !isFaulty(after, event.op),
  'a body is repaired': (before, after, event) =>
    event.type === 'deliver' && event.message.type === 'repair-prepare' && after.bodies.size > before.bodies.size,
};

/** The highest op of any log of the highest log view that a new primary has heard of, its own included. */
function longestCandidate(before: Subject, event: LocalEvent): number {
  const own = { logView: before.logView, head: before.suffix.at(-1)?.op ?? 0 };
  const candidates: { readonly logView: number; readonly head: number }[] = [own, ...before.dvcs.values()];
  if (event.type === 'deliver' && event.message.type === 'do-view-change') candidates.push(event.message);
  const logView = Math.max(...candidates.map((candidate) => candidate.logView));
  return Math.max(...candidates.map(({ logView: of, head }) => (of === logView ? head : 0)));
}

const hexOf = (request: number): string => request.toString(16).padStart(2, '0');
const isFaulty = (r: Subject, op: number): boolean => r.slots.get(op)?.faulty === true;

const tests = sometimesProperties.map((property) => ({ bit: sometimesBit(property), holds: seen[property] }));

/** The sometimes-properties that this event shows, as bits. */
export function sometimesHits(before: Local, event: LocalEvent, ran: Ran): number {
  let hits = 0;
  for (const { bit, holds } of tests) if (holds(before.replica, ran.local.replica, event, ran)) hits |= bit;
  return hits;
}
