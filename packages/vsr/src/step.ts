import { replicasMax, unreachable } from '@kimberlite/base';
import { onAuditTimer } from './audit.ts';
import { onCheckpointTimer, onCheckpointWritten } from './checkpoint.ts';
import { onPing, onPingTimer, onPong } from './clock.ts';
import { judgeDivergence } from './divergence.ts';
import { onDiskFull } from './disk-trouble.ts';
import type { Effect } from './effect.ts';
import type { ClockReading, Event, TimerName } from './event.ts';
import { checkInvariants } from './invariants.ts';
import { onLogWritten } from './log-writes.ts';
import { answerOldEpoch, askForEpoch, enterNextEpoch, onNewEpoch } from './epoch.ts';
import { epochOf } from './group.ts';
import { isDead, onReplaceMember } from './members.ts';
import { onChangeMembers } from './reconfiguration.ts';
import { onCheckpointDamaged, onDamageFound } from './mend.ts';
import type { Message } from './message.ts';
import {
  onAbdicateTimer,
  onHeartbeat,
  onHeartbeatOk,
  onHeartbeatTimer,
  onPrepare,
  onPrepareOk,
  onPrepareTimer,
  watchWaiting,
} from './normal.ts';
import { onClientRequests } from './pipeline.ts';
import { onClientQueries, onReadRoundTimer } from './reads.ts';
import { onStart } from './recovery.ts';
import {
  onHeaders,
  onPrepareRead,
  onRepairPrepare,
  onRepairTimer,
  onRequestHeaders,
  onRequestPrepare,
} from './repair.ts';
import { readClock, type Replica } from './replica.ts';
import { onCheckpointPartRead } from './state-load.ts';
import {
  onCheckpointOffer,
  onCheckpointPart,
  onCheckpointPartStored,
  onCheckpointReceiving,
  onRequestCheckpoint,
  onRequestCheckpointPart,
  onSyncTimer,
} from './state-sync.ts';
import { handOver, onStop, onTransfer } from './stop.ts';
import { onSuperblockWritten } from './superblock.ts';
import {
  onDoViewChange,
  onHeartbeatTimeout,
  onRequestStartView,
  onRequestStartViewTimer,
  onStartView,
  onStartViewChange,
  onViewChangeTimer,
  sendDoViewChange,
} from './view-change.ts';

/**
 * One replica's reaction to one event: mutates `replica` and returns what the host has to do. Deterministic: the
 * event, the clock reading and the replica decide everything. Throws only when an invariant is broken, or when a
 * replica without peers finds damage; the replica must not be used after that.
 */
export function step<S>(replica: Replica<S>, event: Event, clock: ClockReading): Effect[] {
  if (replica.stopped) return [];
  readClock(replica, clock);
  replica.out = [];
  onEvent(replica, event);
  enterNextEpoch(replica);
  judgeDivergence(replica);
  watchWaiting(replica);
  checkInvariants(replica);
  if (replica.stopped) replica.out.push({ type: 'stopped' });
  const { out } = replica;
  replica.out = [];
  return out;
}

function onEvent<S>(r: Replica<S>, event: Event): void {
  switch (event.type) {
    case 'start':
      return onStart(r);
    case 'message':
      return onMessage(r, event.message, event.incarnation ?? 0);
    case 'client-requests':
      return onClientRequests(r, event.requests);
    case 'client-queries':
      return onClientQueries(r, event.queries);
    case 'timer':
      return onTimer(r, event.timer);
    case 'log-written':
      return onLogWritten(r, event.op, event.id);
    case 'superblock-written':
      return onSuperblockWritten(r, event.sequence);
    case 'prepare-read':
      return onPrepareRead(r, event.op, event.id, event.prepare);
    case 'checkpoint-written':
      return onCheckpointWritten(r, event.op, event.ref);
    case 'checkpoint-part-read':
      return onCheckpointPartRead(r, event);
    case 'checkpoint-receiving':
      return onCheckpointReceiving(r, event.checksum, event.missing);
    case 'checkpoint-part-stored':
      return onCheckpointPartStored(r, event.checksum, event.part, event.stored);
    case 'damage-found':
      return onDamageFound(r, event.op, event.id);
    case 'checkpoint-damaged':
      return onCheckpointDamaged(r, event.ref);
    case 'disk-full':
      return onDiskFull(r, event.full);
    case 'replace-member':
      return onReplaceMember(r, event.replica, event.ticket);
    case 'change-members':
      return onChangeMembers(r, event.change, event.ticket, event.dryRun);
    case 'transfer':
      return onTransfer(r);
    case 'stop':
      return onStop(r);
    default:
      return unreachable(event);
  }
}

function onMessage<S>(r: Replica<S>, m: Message, incarnation: number): void {
  if (m.from === r.self || m.from >= replicasMax) return;
  if (isDead(r, m.from, incarnation)) return r.mark('dead-incarnation-unheard');
  if ('view' in m) {
    const epoch = epochOf(m.view);
    if (epoch < r.group.epoch) return answerOldEpoch(r, m.from);
    if (epoch > r.group.epoch) return askForEpoch(r, m.from);
  }
  switch (m.type) {
    case 'prepare':
      return onPrepare(r, m);
    case 'prepare-ok':
      return onPrepareOk(r, m);
    case 'heartbeat':
      return onHeartbeat(r, m);
    case 'heartbeat-ok':
      return onHeartbeatOk(r, m);
    case 'ping':
      return onPing(r, m);
    case 'pong':
      return onPong(r, m);
    case 'start-view-change':
      return onStartViewChange(r, m);
    case 'do-view-change':
      return onDoViewChange(r, m);
    case 'start-view':
      return onStartView(r, m);
    case 'request-start-view':
      return onRequestStartView(r, m);
    case 'request-headers':
      return onRequestHeaders(r, m);
    case 'headers':
      return onHeaders(r, m);
    case 'request-prepare':
      return onRequestPrepare(r, m);
    case 'repair-prepare':
      return onRepairPrepare(r, m);
    case 'request-checkpoint':
      return onRequestCheckpoint(r, m);
    case 'checkpoint-offer':
      return onCheckpointOffer(r, m);
    case 'request-checkpoint-part':
      return onRequestCheckpointPart(r, m);
    case 'checkpoint-part':
      return onCheckpointPart(r, m);
    case 'new-epoch':
      return onNewEpoch(r, m);
    default:
      return unreachable(m);
  }
}

function onTimer<S>(r: Replica<S>, timer: TimerName): void {
  switch (timer) {
    case 'heartbeat':
      return onHeartbeatTimer(r);
    case 'heartbeat-timeout':
      return onHeartbeatTimeout(r);
    case 'prepare':
      return onPrepareTimer(r);
    case 'read-round':
      return onReadRoundTimer(r);
    case 'abdicate':
      return onAbdicateTimer(r);
    case 'view-change':
      return onViewChangeTimer(r);
    case 'do-view-change':
      return sendDoViewChange(r);
    case 'request-start-view':
      return onRequestStartViewTimer(r);
    case 'repair':
      return onRepairTimer(r);
    case 'ping':
      return onPingTimer(r);
    case 'sync':
      return onSyncTimer(r);
    case 'checkpoint':
      return onCheckpointTimer(r);
    case 'audit':
      return onAuditTimer(r);
    case 'stop':
      return handOver(r);
    default:
      return unreachable(timer);
  }
}
