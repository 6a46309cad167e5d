import {
  assert,
  op as toOp,
  type PrepareHeader,
  pipelineMax,
  type ReplicaId,
  replicaId,
  replicasMax,
  timestamp as toTimestamp,
  unreachable,
  view as toView,
} from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { commitByAcks, commitByMessage, countAck } from './commit.ts';
import type { DurableSuffixEntry } from './durable-state.ts';
import { extendLinks, startRepair, stopRepair } from './repair.ts';
import { acknowledge } from './log-writes.ts';
import { type Mark, markOf } from './marks.ts';
import { isSuspect } from './divergence.ts';
import { answerOldEpoch, isWhole } from './epoch.ts';
import { firstViewOf, membersOf } from './group.ts';
import { giveUpReplacing } from './members.ts';
import type {
  DoViewChangeMessage,
  RequestStartViewMessage,
  StartViewChangeMessage,
  StartViewMessage,
  SuffixMark,
} from './message.ts';
import { hearBackup, sendHeartbeat, takeStashed } from './normal.ts';
import { openAdmission, refuseQueued, startPrepares } from './pipeline.ts';
import { sizeOf, withReplica } from './quorum.ts';
import { refuseQueries } from './reads.ts';
import {
  bodyAt,
  dropEntry,
  headId,
  idAt,
  isDurableAt,
  isNormalBackup,
  isMember,
  isNormalPrimary,
  isPrimary,
  isSettled,
  isSoleVoter,
  isVoter,
  primaryOf,
  type Replica,
  setEntry,
  slotAt,
} from './replica.ts';
import { select } from './select.ts';
import { broadcast, cancelTimer, send, setTimer } from './send.ts';
import { installReady } from './state-sync.ts';
import { finishStop } from './stop.ts';
import { flush } from './superblock.ts';
import { backedOff, heartbeatTimeoutMs, jittered } from './timeouts.ts';

// View changes (section 4.2, with the repairs of PROTOCOL.md): votes, Tables A, B and C.

// Votes.

/** "I am durably in this view and want to leave it." Said again and again until the view changes or the primary is heard. */
export function voteToLeave<S>(r: Replica<S>): void {
  if (r.status === 'recovering-head' || r.durable.view !== r.view || !isVoter(r)) return;
  r.voted = true;
  broadcast(r, { type: 'start-view-change', from: r.self, view: toView(r.view) });
  countVotes(r);
}

export function onStartViewChange<S>(r: Replica<S>, m: StartViewChangeMessage): void {
  if (m.view < r.view) {
    // It missed this view, and a primary that gave up would never tell it: the two would wait for each other for ever.
    if (isNormalPrimary(r)) r.mark('vote-in-an-older-view-answered');
    if (isNormalPrimary(r)) send(r, m.from, startViewMessage(r, ''));
    return;
  }
  if (r.status === 'recovering-head' || !isVoter(r)) {
    // It may not take part, but it learns where the others are.
    if (m.view > r.view) askForStartView(r, m.view);
    return;
  }
  if (!isVoter(r, m.from)) return;
  if (m.view > r.view) enterView(r, m.view);
  hearBackup(r, m.from, m.view);
  r.votes.set(m.from, { view: m.view, receivedUs: r.now });
  // The primary itself asks to be replaced: nobody needs to wait for missing heartbeats.
  const handOver = isNormalBackup(r) && m.from === primaryOf(r, r.view);
  if (handOver) r.mark('hand-over');
  if (handOver && !r.voted) voteToLeave(r);
  else countVotes(r);
}

/** Live votes for this view, own included, as a set (pitfall 60). */
function countVotes<S>(r: Replica<S>): void {
  let voters = r.voted ? withReplica(0, r.self) : 0;
  for (const [replica, vote] of r.votes) {
    const live = r.now - vote.receivedUs <= r.timing.voteWindowMs * 1000;
    if (!live && vote.view === r.view) r.mark('vote-expired');
    if (live && vote.view === r.view) voters = withReplica(voters, replica);
  }
  if (sizeOf(voters) >= r.quorums.viewChange) enterView(r, r.view + 1);
}

export function onHeartbeatTimeout<S>(r: Replica<S>): void {
  if (!isNormalBackup(r)) return;
  const { heartbeatMs, voteResendMs } = r.timing;
  const slept = r.now - r.heartbeatDueUs > heartbeatMs * 1000;
  // Once a silence, or a machine that is always late would never vote.
  r.heartbeatDueUs = Number.MAX_SAFE_INTEGER;
  if (slept) r.mark('slept-through-heartbeats');
  // It was this replica that slept: heartbeats may be waiting to be read, and they come after the timers.
  if (slept) return setTimer(r, 'heartbeat-timeout', jittered(r, 2 * heartbeatMs));
  setTimer(r, 'heartbeat-timeout', jittered(r, voteResendMs));
  if (isVoter(r)) voteToLeave(r);
  else askEverybody(r);
}

/** From here on the primary has so long to be heard. */
export function setHeartbeatTimeout<S>(r: Replica<S>, delayMs: number): void {
  r.heartbeatDueUs = r.now + delayMs * 1000;
  setTimer(r, 'heartbeat-timeout', delayMs);
}

// Table A.

/** The undecided end of the log, as the superblock and do_view_change carry it. */
function suffixOf<S>(r: Replica<S>, commit: number): readonly DurableSuffixEntry[] {
  const low = Math.max(1, Math.min(r.head, Math.max(commit, r.head - pipelineMax)));
  const suffix: DurableSuffixEntry[] = [];
  for (let op = low; op <= r.head; op++) {
    const entry = r.log.get(op);
    suffix.push({ op: toOp(op), id: entry?.id ?? null, header: entry?.header ?? null });
  }
  return suffix;
}

/** Table A, rows 1 and 2. */
export function enterView<S>(r: Replica<S>, view: number): void {
  assert(view > r.view, 'a view is entered once');
  assert(r.status !== 'recovering-head', 'a replica unsure of its head takes no part in a view change');
  // Frozen from here on, across views and restarts, until a new log view is installed (pitfall 52).
  if (isSettled(r)) r.suffix = suffixOf(r, r.commit);
  else r.mark('suffix-stays-frozen');
  leaveView(r);
  r.view = view;
  r.status = 'view-change';
  r.phase = 'collecting';
  flush(r);
  armViewChangeTimer(r);
  r.viewChangeAttempts++;
}

/** What belonged to the old view is of no use in the next (pitfalls 12, 13). */
function leaveView<S>(r: Replica<S>): void {
  refuseQueued(r, 'view-change');
  refuseQueries(r, 'view-change');
  giveUpReplacing(r);
  r.admissions.clear();
  r.acks.clear();
  r.sent.clear();
  r.votes.clear();
  r.dvcs.clear();
  r.stash.clear();
  r.voted = false;
  r.serving = false;
  r.silent = false;
  r.waitingSinceUs = null;
  r.heartbeatSeen = 0;
  r.roundSeen = 0;
  r.heartbeatNumber = 0;
  r.nextRound = 1;
  r.startedRound = 0;
  r.wantedRound = 0;
  r.confirmedRound = 0;
  r.rounds.fill(0);
  r.heardUs.fill(0);
  stopAsking(r);
  stopRepair(r);
  for (const timer of ['heartbeat', 'heartbeat-timeout', 'do-view-change'] as const) cancelTimer(r, timer);
}

function armViewChangeTimer<S>(r: Replica<S>): void {
  r.viewChangeProgress = false;
  const { viewChangeMs, viewChangeCeilingMs } = r.timing;
  r.viewChangeDelayMs = backedOff(r, viewChangeMs, viewChangeCeilingMs, r.viewChangeAttempts);
  setTimer(r, 'view-change', r.viewChangeDelayMs);
}

/** No progress in time: vote to go on (pitfalls 29, 59). The pause grows from view to view. */
export function onViewChangeTimer<S>(r: Replica<S>): void {
  if (r.status !== 'view-change') return;
  if (r.viewChangeProgress) return armViewChangeTimer(r);
  // Votes expire, so this one is repeated; entering a view sets the timer anew.
  setTimer(r, 'view-change', jittered(r, r.timing.viewChangeMs / 2));
  if (isVoter(r)) voteToLeave(r);
  else askEverybody(r);
  askStrangers(r);
}

/** The superblock holds what it should: say what waited for that. */
export function onViewDurable<S>(r: Replica<S>): void {
  if (r.status !== 'view-change' || r.durable.view !== r.view) return;
  switch (r.phase) {
    case 'collecting':
      // A slow disk has used up time in which nobody could have made progress.
      setTimer(r, 'view-change', r.viewChangeDelayMs);
      sendDoViewChange(r);
      return;
    case 'installing':
      if (r.durable.logView !== r.view) return;
      if (isPrimary(r)) beginFetching(r);
      else finishInstall(r);
      return;
    case 'fetching':
      return;
    default:
      return unreachable(r.phase);
  }
}

const whereIs = <S>(r: Replica<S>, op: number, id: string | null): Mark['here'] => {
  if (id === null) return 'blank';
  if (op < r.logLow || slotAt(r, op).durable === id) return 'durable';
  return bodyAt(r, op)?.header.id === id || slotAt(r, op).writing === id ? 'memory' : 'none';
};

/** Table A, rows 3 and 4. Marks are computed anew each time, from what is here now. */
function doViewChange<S>(r: Replica<S>): DoViewChangeMessage {
  const suffix: SuffixMark[] = r.suffix.map(({ op, id, header }) => {
    const slot = slotAt(r, op);
    // A blank op whose slot holds anything at all may be that very prepare.
    const uncertain = id === null && (slot.durable !== null || slot.writing !== null);
    const { present, nack } = markOf({ here: whereIs(r, op, id), faulty: slot.faulty || uncertain });
    if (present && nack) r.mark('held-in-memory-only');
    if (!present && !nack) r.mark('damaged-neither-held-nor-nacked');
    if (id === null) r.mark('blank-op-reported');
    return { op, id, header, present, nack };
  });
  return {
    type: 'do-view-change',
    from: r.self,
    view: toView(r.view),
    logView: toView(r.logView),
    commit: toOp(r.commit),
    checkpoint: r.durable.checkpoint,
    head: toOp(r.suffix.at(-1)?.op ?? 0),
    timestamp: toTimestamp(r.timestamp),
    suffix,
  };
}

export function sendDoViewChange<S>(r: Replica<S>): void {
  if (r.status !== 'view-change' || r.phase !== 'collecting' || r.durable.view !== r.view) return;
  setTimer(r, 'do-view-change', jittered(r, r.timing.doViewChangeResendMs));
  if (r.logView === firstViewOf(r.group.epoch)) tellOfEpoch(r);
  if (!isVoter(r)) return;
  const message = doViewChange(r);
  // To itself by a direct call (pitfall 11).
  if (isPrimary(r)) onDoViewChange(r, message);
  else send(r, primaryOf(r, r.view), message);
}

// Table B.

export function onDoViewChange<S>(r: Replica<S>, m: DoViewChangeMessage): void {
  if (m.view < r.view || r.status === 'recovering-head' || !isVoter(r) || !isVoter(r, m.from)) return;
  if (m.view > r.view) enterView(r, m.view);
  if (!isPrimary(r)) return;
  if (r.status === 'normal') {
    // Chosen already; the sender has missed start_view.
    r.mark('late-do-view-change-answered');
    if (m.from !== r.self) send(r, m.from, startViewMessage(r, ''));
    return;
  }
  if (r.phase !== 'collecting') return;
  r.dvcs.set(m.from, m);
  if (r.durable.view === r.view && r.dvcs.has(r.self)) choose(r);
}

/** Rows 1 to 7. */
function choose<S>(r: Replica<S>): void {
  const dvcs = [...r.dvcs.values()].sort((a, b) => a.from - b.from);
  const { quorums, mark } = r;
  const replicaCount = r.group.voters.length;
  const selection = select({ dvcs, replicaCount, quorums, pipelineMax, mark });
  if (selection.type === 'wait') return;
  if (isFarBehind(r, selection.commit) || lacksState(r)) return enterView(r, r.view + 1);
  const suffix = selection.suffix.map(({ op, id, header }) => ({ op: toOp(op), id, header }));
  installLog(r, suffix, selection.head, selection.commit);
  r.timestamp = Math.max(r.timestamp, selection.timestamp);
}

/** Ops whose repair clients can be made to wait for. */
const forfeitBehindMax = 1024;

/**
 * Row 5. Whoever told of the commit number has the log up to it and serves at once, while this replica would be the
 * primary and not serve for as long as its repair takes. Never so on the replica with the longest log of all heard.
 */
const isFarBehind = <S>(r: Replica<S>, commit: number): boolean =>
  (r.dvcs.get(r.self)?.head ?? 0) + forfeitBehindMax < commit;

/** Row 5: its state has diverged, or its checkpoint is gone and is being fetched. */
const lacksState = <S>(r: Replica<S>): boolean =>
  r.divergence.quarantine !== null || (!r.stateLoaded && r.syncing !== null);

/** Row 8: the bodies and headers of the undecided end, by id, from whoever has them. */
function beginFetching<S>(r: Replica<S>): void {
  r.phase = 'fetching';
  finishFetching(r);
  if (r.status !== 'view-change') return;
  r.mark('inherited-bodies-fetched');
  startRepair(r);
}

/** Row 9, once everything is here. */
export function finishFetching<S>(r: Replica<S>): void {
  if (r.status !== 'view-change' || r.phase !== 'fetching') return;
  for (const { op } of r.suffix) {
    const header = r.log.get(op)?.header ?? null;
    if (header === null || (op > r.commit && bodyAt(r, op) === null)) return;
  }
  becomePrimary(r);
}

function becomePrimary<S>(r: Replica<S>): void {
  becomeNormal(r);
  r.inherited = r.head;
  r.progress = { applied: r.applied, atUs: r.now };
  r.diskLag = null;
  broadcast(r, startViewMessage(r, ''));
  sendHeartbeat(r);
  setTimer(r, 'heartbeat', r.timing.heartbeatMs);
  for (let op = r.commit + 1; op <= r.head; op++) {
    r.sent.set(op, { atUs: r.now, attempts: 0 });
    if (isDurableAt(r, op) && isWhole(r) && !isSuspect(r)) countAck(r, op, r.self);
  }
  armPrimary(r);
  commitByAcks(r);
  advanceApply(r);
  openAdmission(r);
  if (r.head === (r.boundary?.op ?? -1)) r.members.queue = [{ type: 'checkpoint' }];
  startPrepares(r);
  startRepair(r);
}

function armPrimary<S>(r: Replica<S>): void {
  if (r.head === r.commit) return;
  r.armed.add('prepare');
  setTimer(r, 'prepare', jittered(r, r.timing.prepareResendMs));
  r.waitingSinceUs = r.now;
  if (isSoleVoter(r)) return;
  r.armed.add('abdicate');
  setTimer(r, 'abdicate', r.timing.abdicateMs);
}

function startViewMessage<S>(r: Replica<S>, nonce: string): StartViewMessage {
  const suffix: PrepareHeader[] = [];
  for (const { op } of suffixOf(r, r.commit)) {
    const header = r.log.get(op)?.header ?? null;
    assert(header !== null, () => `the primary lacks the header of op ${op}`);
    suffix.push(header);
  }
  const commit = toOp(r.commit);
  return {
    type: 'start-view',
    from: r.self,
    view: toView(r.view),
    suffix,
    commit,
    checkpoint: r.durable.checkpoint,
    nonce,
  };
}

// Table C.

/** What to do with a start_view from the primary of its view, `view >= own`. */
export interface StartViewFacts {
  readonly status: 'normal' | 'view-change' | 'recovering-head';
  readonly sameView: boolean;
  readonly longer: boolean;
  readonly thisBoot: boolean;
  readonly coversFound: boolean;
}

export const startViewTable: readonly {
  readonly name: string;
  readonly matches: (f: StartViewFacts) => boolean;
  readonly action: 'ignore' | 'extend' | 'install';
}[] = [
  // A delayed one of the current view must not truncate (pitfall 49).
  { name: 'normal, not longer', matches: (f) => f.status === 'normal' && f.sameView && !f.longer, action: 'ignore' },
  { name: 'normal, longer', matches: (f) => f.status === 'normal' && f.sameView && f.longer, action: 'extend' },
  { name: 'normal, higher view', matches: (f) => f.status === 'normal' && !f.sameView, action: 'install' },
  { name: 'view change', matches: (f) => f.status === 'view-change', action: 'install' },
  {
    name: 'recovering head, higher view',
    matches: (f) => f.status === 'recovering-head' && !f.sameView,
    action: 'install',
  },
  {
    name: 'recovering head, answer to this boot',
    matches: (f) => f.status === 'recovering-head' && f.sameView && f.thisBoot && f.coversFound,
    action: 'install',
  },
  {
    name: 'recovering head, anything else',
    matches: (f) => f.status === 'recovering-head' && f.sameView && !(f.thisBoot && f.coversFound),
    action: 'ignore',
  },
];

export function onStartView<S>(r: Replica<S>, m: StartViewMessage): void {
  if (m.view < r.view || m.from !== primaryOf(r, m.view) || m.from === r.self) return;
  if (!isMember(r)) return leaveForGood(r, m);
  const head = m.suffix.at(-1)?.op ?? 0;
  const facts: StartViewFacts = {
    status: r.status,
    sameView: m.view === r.view,
    longer: head > r.head,
    thisBoot: m.nonce === r.nonce,
    coversFound: head >= r.foundHead,
  };
  // Chosen for this view already: only its superblock write is awaited.
  if (facts.sameView && r.status === 'view-change' && r.phase !== 'collecting') return;
  const row = startViewTable.find((candidate) => candidate.matches(facts));
  assert(row !== undefined, 'Table C is total');
  if (row.action === 'ignore') {
    r.mark('late-start-view-ignored');
    if (r.status === 'normal') stopAsking(r);
    return;
  }
  if (row.action === 'extend') return extend(r, m, head);
  install(r, m, head);
}

/** Within its own view a log only grows (pitfall 1). */
function extend<S>(r: Replica<S>, m: StartViewMessage, head: number): void {
  r.mark('start-view-extends');
  const oldHead = r.head;
  const oldId = headId(r);
  for (const header of m.suffix) {
    if (header.op <= oldHead) {
      const known = idAt(r, header.op);
      assert(known === null || known === header.id, () => `op ${header.op} differs within view ${m.view}`);
      if (known === null) continue;
    } else if (header.op === oldHead + 1) {
      assert(header.parent === oldId, () => `start_view does not link to op ${oldHead} of its own view`);
    }
    setEntry(r, header.op, header.id, header);
  }
  r.head = head;
  const low = m.suffix[0]?.op ?? head;
  // What lies between is linked by repair, downwards.
  if (low > oldHead + 1) r.linkedLow = low;
  extendLinks(r);
  stopAsking(r);
  takeStashed(r);
  commitByMessage(r, m.commit);
  installReady(r);
  startRepair(r);
}

/** Installs the log of a view this replica was not normal in. */
function install<S>(r: Replica<S>, m: StartViewMessage, head: number): void {
  if (r.status === 'normal') r.mark('start-view-replaces-normal-log');
  if (r.status === 'recovering-head')
    r.mark(m.view === r.view ? 'start-view-for-this-boot' : 'start-view-ends-uncertainty');
  if (m.view > r.view || r.status === 'recovering-head') leaveView(r);
  r.view = m.view;
  installLog(
    r,
    m.suffix.map((header) => ({ op: header.op, id: header.id, header })),
    head,
    m.commit,
  );
}

/**
 * View, log view and suffix in one superblock write, and until it is done no slot changes (pitfalls 1, 2, 50).
 * In memory the log is the new one at once; leaving the view before the write is done freezes it as it is.
 */
function installLog<S>(r: Replica<S>, suffix: readonly DurableSuffixEntry[], head: number, commit: number): void {
  replaceLog(r, suffix, head, commit);
  r.logView = r.view;
  r.status = 'view-change';
  r.phase = 'installing';
  r.viewChangeProgress = true;
  stopAsking(r);
  cancelTimer(r, 'do-view-change');
  armViewChangeTimer(r);
  flush(r);
}

/**
 * A new epoch begins: the log is that of the one before, to its last op, and its first view is joined. Both are one
 * superblock write, together with the group.
 */
export function beginEpoch<S>(r: Replica<S>, boundary: PrepareHeader): void {
  leaveView(r);
  replaceLog(r, [{ op: boundary.op, id: boundary.id, header: boundary }], boundary.op, boundary.op);
  r.logView = firstViewOf(r.group.epoch);
  r.view = r.logView + 1;
  r.status = 'view-change';
  r.phase = 'collecting';
  r.viewChangeAttempts = 0;
  flush(r);
  armViewChangeTimer(r);
}

/** In memory: what another log has in common with this one stays. */
function replaceLog<S>(r: Replica<S>, suffix: readonly DurableSuffixEntry[], head: number, commit: number): void {
  assert(head >= r.commit && head >= commit, () => `the log of view ${r.view} ends below what is committed`);
  const low = suffix[0]?.op ?? head;
  const oldHead = r.head;
  const continues = low >= r.linkedLow && low <= oldHead && suffix[0]?.id !== null && idAt(r, low) === suffix[0]?.id;
  for (let op = head + 1; op <= oldHead; op++) dropEntry(r, op);
  // Own entries above the own commit number are trusted again only when the new log links to them.
  if (!continues) for (let op = r.commit + 1; op < low && op <= oldHead; op++) dropEntry(r, op);
  for (const { op, id, header } of suffix) {
    if (op <= r.commit)
      assert(idAt(r, op) === null || id === null || idAt(r, op) === id, () => `committed op ${op} changes`);
    if (id === null) {
      // Nobody could name it. What was applied here is it, for certain.
      if (op > r.applied) dropEntry(r, op);
    } else setEntry(r, op, id, header ?? (idAt(r, op) === id ? (r.log.get(op)?.header ?? null) : null));
  }
  r.head = head;
  r.suffix = suffix;
  r.commit = Math.max(r.commit, commit);
  if (!continues) r.linkedLow = lowestLinked(r, low);
  extendLinks(r);
}

/** Lowest op of the suffix down to which every id is known. */
function lowestLinked<S>(r: Replica<S>, low: number): number {
  let op = r.head;
  while (op > low && r.log.has(op - 1)) op--;
  return op;
}

function finishInstall<S>(r: Replica<S>): void {
  becomeNormal(r);
  r.primaryHeardUs = r.now;
  setHeartbeatTimeout(r, heartbeatTimeoutMs(r));
  for (let op = r.commit + 1; op <= r.head; op++) acknowledge(r, op);
  takeStashed(r);
  advanceApply(r);
  startRepair(r);
}

export function becomeNormal<S>(r: Replica<S>): void {
  r.status = 'normal';
  r.phase = 'collecting';
  r.viewChangeAttempts = 0;
  r.dvcs.clear();
  r.votes.clear();
  r.voted = false;
  cancelTimer(r, 'view-change');
  cancelTimer(r, 'do-view-change');
  installReady(r);
  finishStop(r);
}

// Asking for start_view.

/** Asks the primary of `view` for its log: heard of a higher view, or of ops beyond a gap. */
export function askForStartView<S>(r: Replica<S>, view: number): void {
  if (primaryOf(r, view) === r.self || (r.askingView !== null && r.askingView >= view)) return;
  const installing = r.status === 'view-change' && r.phase !== 'collecting';
  if (installing && view === r.view) return;
  r.askingView = view;
  r.askingAttempts = 0;
  sendRequestStartView(r);
}

function sendRequestStartView<S>(r: Replica<S>): void {
  if (r.askingView === null) return;
  const { requestStartViewMs } = r.timing;
  // The durable view: the message speaks for it.
  const message = { type: 'request-start-view' as const, from: r.self, view: toView(r.durable.view), nonce: r.nonce };
  send(r, primaryOf(r, r.askingView), message);
  setTimer(r, 'request-start-view', backedOff(r, requestStartViewMs, requestStartViewMs * 16, r.askingAttempts));
}

export function onRequestStartViewTimer<S>(r: Replica<S>): void {
  if (r.askingView === null) return;
  const moot = r.askingView < r.view || r.askingAttempts > 5;
  if (moot && r.status !== 'recovering-head') return stopAsking(r);
  r.askingAttempts++;
  sendRequestStartView(r);
}

/** A replica without a vote cannot bring a view change about: it asks where the others are. */
function askEverybody<S>(r: Replica<S>): void {
  broadcast(r, { type: 'request-start-view', from: r.self, view: toView(r.durable.view), nonce: r.nonce });
}

/** The others of this epoch may all be gone, and the cluster far ahead: whoever can be reached may know. */
function askStrangers<S>(r: Replica<S>): void {
  const strangers: ReplicaId[] = [];
  for (let i = 0; i < replicasMax; i++) if (i !== r.self && !isMember(r, i)) strangers.push(replicaId(i));
  const message = { type: 'request-start-view' as const, from: r.self, view: toView(r.durable.view), nonce: r.nonce };
  if (strangers.length > 0) r.out.push({ type: 'broadcast', to: strangers, message });
}

/** Until a view of this epoch is installed here, others may not have heard that it has begun. */
function tellOfEpoch<S>(r: Replica<S>): void {
  const told = new Set([...membersOf(r.group), ...r.members.former]);
  for (const replica of told) if (replica !== r.self) answerOldEpoch(r, replica);
}

/** No member any more. Once the new group has committed, a quorum of it has all that was committed before. */
function leaveForGood<S>(r: Replica<S>, m: StartViewMessage): void {
  if (m.commit <= (r.boundary?.op ?? 0)) return;
  r.mark('removed');
  r.out.push({ type: 'removed' });
  r.stopped = true;
}

function stopAsking<S>(r: Replica<S>): void {
  if (r.askingView === null) return;
  r.askingView = null;
  cancelTimer(r, 'request-start-view');
}

export function onRequestStartView<S>(r: Replica<S>, m: RequestStartViewMessage): void {
  if (!isNormalPrimary(r) || m.view > r.view) return;
  hearBackup(r, m.from, m.view);
  send(r, m.from, startViewMessage(r, m.nonce));
}
