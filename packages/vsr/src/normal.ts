import { assert, op as toOp, pipelineMax, view as toView } from '@kimberlite/base';
import { noteStable, report, reportedMark } from './checkpoint.ts';
import { clockVerdict } from './clock.ts';
import { commitByAcks, commitByBackup, commitByMessage, countAck } from './commit.ts';
import { isSuspect, noteReports } from './divergence.ts';
import { handOverIfDiskLags, probeIfDiskFull } from './disk-trouble.ts';
import { acknowledge, takeBody } from './log-writes.ts';
import type { HeartbeatMessage, HeartbeatOkMessage, PrepareMessage, PrepareOkMessage } from './message.ts';
import { prepareMessage, startPrepares } from './pipeline.ts';
import { hasReplica } from './quorum.ts';
import { onRoundEcho, startRound } from './reads.ts';
import { startRepair } from './repair.ts';
import {
  bodyAt,
  headId,
  idAt,
  isDurableAt,
  isNormalBackup,
  isNormalPrimary,
  isSoleVoter,
  isVoter,
  primaryOf,
  type Replica,
  setEntry,
} from './replica.ts';
import { armTimer, broadcast, disarm, hasPeers, otherReplicas, send, setTimer } from './send.ts';
import { watchForTrimmedLog } from './state-sync.ts';
import { backedOff, heartbeatTimeoutMs, jittered } from './timeouts.ts';
import { considerUpgrade, noteSpoken } from './upgrade.ts';
import { askForStartView, setHeartbeatTimeout, voteToLeave } from './view-change.ts';

// Normal operation (section 4.1): prepares, acks, heartbeats.

// Backup.

export function onPrepare<S>(r: Replica<S>, m: PrepareMessage): void {
  if (m.view < r.view || m.from !== primaryOf(r, m.view)) return;
  if (m.view > r.view || r.status !== 'normal') {
    if (m.view === r.view) stash(r, m);
    return askForStartView(r, m.view);
  }
  if (!isNormalBackup(r)) return;
  r.roundSeen = Math.max(r.roundSeen, m.round);
  commitByMessage(r, m.commit);
  const { header } = m.prepare;
  if (header.cluster !== r.cluster) return;
  if (header.op <= r.head) onKnownPrepare(r, m);
  else if (header.op === r.head + 1) extendLog(r, m.prepare);
  else {
    stash(r, m);
    askForStartView(r, m.view);
  }
  takeStashed(r);
  commitByMessage(r, m.commit);
}

/** A prepare sent again: its body may be missing here, or the ack was lost (pitfall 19). */
function onKnownPrepare<S>(r: Replica<S>, m: PrepareMessage): void {
  const { header } = m.prepare;
  if (header.op < r.logLow) return;
  const id = idAt(r, header.op);
  if (id === null) return;
  assert(id === header.id, () => `two prepares for op ${header.op} in view ${m.view}`);
  if (isDurableAt(r, header.op)) {
    r.mark('duplicate-prepare-acked-again');
    return acknowledge(r, header.op);
  }
  // Not durable: the ack leaves when the write is done, never before (pitfall 45).
  if (bodyAt(r, header.op) === null) takeBody(r, m.prepare);
}

function extendLog<S>(r: Replica<S>, prepare: PrepareMessage['prepare']): void {
  const { header } = prepare;
  assert(header.parent === headId(r), () => `op ${header.op} does not follow the head of the same view`);
  assert(header.view === r.view, () => `op ${header.op} is new in view ${r.view} but made in view ${header.view}`);
  r.head = header.op;
  setEntry(r, header.op, header.id, header);
  takeBody(r, prepare);
}

/** Keeps a prepare that came too early; the oldest gives way. */
function stash<S>(r: Replica<S>, m: PrepareMessage): void {
  if (m.prepare.header.view !== m.view) return;
  r.mark('prepare-came-too-early');
  r.stash.set(m.prepare.header.op, m);
  for (const [op] of r.stash) {
    if (r.stash.size <= 2 * pipelineMax) break;
    r.stash.delete(op);
  }
}

/** Whatever of the stash continues the log, or is a body the log lacks. */
export function takeStashed<S>(r: Replica<S>): void {
  if (r.stash.size === 0 || !isNormalBackup(r)) return;
  for (const op of [...r.stash.keys()].sort((a, b) => a - b)) {
    const m = r.stash.get(op);
    if (m === undefined || op > r.head + 1) break;
    r.stash.delete(op);
    const { prepare } = m;
    const { header } = prepare;
    if (op === r.head + 1) {
      extendLog(r, prepare);
      // Its commit number keeps the head within P of the own one.
      commitByMessage(r, m.commit);
    } else if (idAt(r, op) === header.id && !isDurableAt(r, op) && bodyAt(r, op) === null) takeBody(r, prepare);
  }
}

export function onHeartbeat<S>(r: Replica<S>, m: HeartbeatMessage): void {
  if (m.view < r.view || m.from !== primaryOf(r, m.view)) return;
  if (m.view > r.view || r.status !== 'normal') return askForStartView(r, m.view);
  if (!isNormalBackup(r)) return;
  r.roundSeen = Math.max(r.roundSeen, m.round);
  // Only a new heartbeat proves a live primary and cancels the vote (pitfalls 28, 60).
  if (m.number > r.heartbeatSeen) {
    r.heartbeatSeen = m.number;
    r.voted = false;
    noteHeartbeatGap(r);
    setHeartbeatTimeout(r, heartbeatTimeoutMs(r));
  }
  send(r, m.from, {
    type: 'heartbeat-ok',
    from: r.self,
    view: toView(r.view),
    number: m.number,
    // A replica that is not believed confirms no read (Table F).
    round: isSuspect(r) ? 0 : r.roundSeen,
    commit: toOp(r.commit),
    applied: toOp(r.syncing === null && r.stateLoaded ? r.applied : 0),
    checkpoint: reportedMark(r),
    report: r.report,
    newest: r.versions.range.newest,
  });
  noteReports(r, m.from, m.report === null ? [] : [m.report], []);
  noteStable(r, m.stable);
  r.checkpointing.primaryTrimmed = m.trimmed;
  commitByMessage(r, m.commit);
  watchForTrimmedLog(r);
  if (m.commit > r.head) askForStartView(r, m.view);
  else startRepair(r);
}

function noteHeartbeatGap<S>(r: Replica<S>): void {
  if (r.primaryHeardUs !== null) {
    const gapUs = r.now - r.primaryHeardUs;
    r.heartbeatGapUs = Math.max(gapUs, Math.floor(r.heartbeatGapUs * 0.9 + gapUs * 0.1));
  }
  r.primaryHeardUs = r.now;
}

// Primary.

export function onPrepareOk<S>(r: Replica<S>, m: PrepareOkMessage): void {
  noteReports(r, m.from, m.report === null ? [] : [m.report], []);
  if (!hearBackup(r, m.from, m.view)) return;
  if (idAt(r, m.op) === m.id) {
    countAck(r, m.op, m.from);
    commitByAcks(r);
  }
  onRoundEcho(r, m.from, m.round);
}

export function onHeartbeatOk<S>(r: Replica<S>, m: HeartbeatOkMessage): void {
  if (!isVoter(r, m.from) && isNormalPrimary(r) && m.view === r.view) {
    r.members.heard.set(m.from, { atUs: r.now, applied: m.applied });
  }
  noteReports(r, m.from, m.report === null ? [] : [m.report], m.checkpoint === null ? [] : [m.checkpoint]);
  if (isNormalPrimary(r) && m.view === r.view) noteSpoken(r, m.from, m.newest);
  if (!hearBackup(r, m.from, m.view)) return;
  commitByBackup(r, m.commit);
  report(r, m.from, m.checkpoint);
  onRoundEcho(r, m.from, m.round);
}

/** Notes that a replica in this view can be heard. False when the message is of no use to this primary (pitfall 12). */
export function hearBackup<S>(r: Replica<S>, from: number, view: number): boolean {
  if (!isNormalPrimary(r) || view !== r.view || from === r.self || !isVoter(r, from)) return false;
  r.heardUs[from] = r.now;
  if (r.silent && heardSince(r, r.now - r.timing.abdicateMs * 1000) >= r.quorums.replication) {
    r.mark('heard-again');
    r.silent = false;
    r.waitingSinceUs = null;
    watchWaiting(r);
    sendHeartbeat(r);
    resendPrepares(r);
  }
  return true;
}

/** Replicas heard since, self included. */
const heardSince = <S>(r: Replica<S>, sinceUs: number): number =>
  1 + r.heardUs.filter((atUs, replica) => replica !== r.self && atUs > 0 && atUs >= sinceUs).length;

export function sendHeartbeat<S>(r: Replica<S>): void {
  if (r.silent || !hasPeers(r) || clockVerdict(r).type === 'outvoted') return;
  // One that has diverged gives up its view: heartbeats would keep the others from taking it.
  if (r.divergence.quarantine !== null) return;
  r.heartbeatNumber++;
  broadcast(r, {
    type: 'heartbeat',
    from: r.self,
    view: toView(r.view),
    number: r.heartbeatNumber,
    commit: toOp(r.commit),
    round: r.startedRound,
    report: r.report,
    stable: r.checkpointing.stable,
    trimmed: toOp(r.checkpointing.trimmed),
  });
}

export function onHeartbeatTimer<S>(r: Replica<S>): void {
  if (!isNormalPrimary(r)) return;
  setTimer(r, 'heartbeat', r.timing.heartbeatMs);
  if (r.divergence.quarantine !== null) return voteToLeave(r);
  forfeitIfStuck(r);
  if (isNormalPrimary(r)) {
    handOverIfDiskLags(r);
    probeIfDiskFull(r);
  }
  if (!isNormalPrimary(r)) return;
  sendHeartbeat(r);
  considerUpgrade(r);
  startRound(r);
  startPrepares(r);
}

/**
 * Table B, row 5, found out late: a committed op is missing here and nobody brings it, so this primary refuses
 * everybody. Another may have applied it already and can serve.
 */
function forfeitIfStuck<S>(r: Replica<S>): void {
  if ((r.applied === r.commit && r.stateLoaded) || r.applied !== r.progress.applied) {
    r.progress = { applied: r.applied, atUs: r.now };
    if (!r.stopping) r.voted = false;
  } else if (r.now - r.progress.atUs >= r.timing.forfeitMs * 1000) {
    r.mark('primary-stuck-forfeits');
    voteToLeave(r);
  }
}

/** Ops that lack a quorum after a while go again to those that have not acked. A quiet or dead backup costs nothing else (pitfalls 33, 35). */
export function onPrepareTimer<S>(r: Replica<S>): void {
  disarm(r, 'prepare');
  if (!isNormalPrimary(r) || r.head === r.commit) return;
  resendPrepares(r);
  armTimer(r, 'prepare', jittered(r, r.timing.prepareResendMs));
}

function resendPrepares<S>(r: Replica<S>): void {
  if (r.silent) return;
  for (let op = r.commit + 1; op <= r.head; op++) {
    const prepare = bodyAt(r, op);
    const sent = r.sent.get(op) ?? { atUs: 0, attempts: 0 };
    const { prepareResendMs, prepareResendCeilingMs } = r.timing;
    const pauseMs = backedOff(r, prepareResendMs, prepareResendCeilingMs, sent.attempts) * 0.8;
    if (prepare === null || r.now - sent.atUs < pauseMs * 1000) continue;
    r.mark('prepare-sent-again');
    r.sent.set(op, { atUs: r.now, attempts: sent.attempts + 1 });
    for (const replica of otherReplicas(r)) {
      if (!hasReplica(r.acks.get(op) ?? 0, replica)) send(r, replica, prepareMessage(r, prepare));
    }
  }
}

/** Something waits for backups: an uncommitted op or a read round. An idle primary waits for nothing (pitfall 61). */
const waits = <S>(r: Replica<S>): boolean => r.head > r.commit || r.confirmedRound < r.startedRound;

export function watchWaiting<S>(r: Replica<S>): void {
  if (!isNormalPrimary(r) || isSoleVoter(r)) return;
  if (!waits(r)) {
    r.waitingSinceUs = null;
    return;
  }
  r.waitingSinceUs ??= r.now;
  armTimer(r, 'abdicate', r.timing.abdicateMs);
}

/** Gives up when it waited in vain and a quorum was not heard all the while (pitfall 31). */
export function onAbdicateTimer<S>(r: Replica<S>): void {
  disarm(r, 'abdicate');
  if (!isNormalPrimary(r)) return;
  watchWaiting(r);
  if (r.waitingSinceUs === null) return;
  const windowUs = r.timing.abdicateMs * 1000;
  const waitedLong = r.now - r.waitingSinceUs >= windowUs;
  if (!waitedLong || heardSince(r, r.now - windowUs) >= r.quorums.replication) return;
  // Two that gave up, each in a view of its own, would wait for each other for ever: so each says where it is.
  if (r.silent) {
    r.mark('silent-primary-votes');
    return voteToLeave(r);
  }
  r.mark('gave-up-silently');
  r.silent = true;
}
