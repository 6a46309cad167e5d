import {
  assert,
  op as toOp,
  type Prepare,
  type PrepareHeader,
  prepareBody,
  type Timestamp,
  unreachable,
  type SessionNumber,
} from '@kimberlite/base';
import { decodeBatch } from './batch.ts';
import { onCheckpointOp } from './checkpoint.ts';
import type { ClientRequest } from './client.ts';
import { isSuspect, noteDamage, reportState } from './divergence.ts';
import { forgetBehind } from './log-writes.ts';
import { noteWhole } from './epoch.ts';
import { applySystem, onSystemApplied } from './members.ts';
import { onOpApplied, onRequestApplied, onStateAdvanced } from './reads.ts';
import { readBehind } from './repair.ts';
import { isNormalPrimary, type Replica } from './replica.ts';
import { notify, refuseRequest } from './send.ts';
import {
  insertSession,
  isIntact,
  keepOutcome,
  type Outcome,
  raiseFloor,
  seal,
  sealedOutcome,
  sessionFacts,
  sessionRow,
} from './sessions.ts';
import { systemClient } from './system-op.ts';
import { requestLeft } from './pipeline.ts';

// Executing committed ops, in order, each once per boot.

/**
 * Applies what is committed, linked from the head down, and in memory; asks for what is not. Bounded, because
 * no more bodies than the repair window are in memory ahead of the applied op.
 */
export function advanceApply<S>(r: Replica<S>): void {
  // The checkpoint it goes on from is still being read, or fetched.
  if (!r.stateLoaded) return;
  while (r.applied < r.commit && r.linkedLow <= r.applied + 1) {
    const prepare = r.bodies.get(r.applied + 1);
    if (prepare === undefined || prepare.header.id !== r.log.get(r.applied + 1)?.id) break;
    applyOp(r, prepare);
  }
  if (r.applied < r.commit) readBehind(r);
  noteWhole(r);
  onStateAdvanced(r);
}

/** One committed op. The replay of a log goes through it too. */
export function applyOp<S>(r: Replica<S>, prepare: Prepare): void {
  const { header } = prepare;
  assert(header.op === r.applied + 1, 'ops are applied in order');
  assert(header.parent === r.appliedId, () => `op ${header.op} does not follow the applied op`);
  assert(header.timestamp > r.appliedTimestamp, () => `the timestamp goes back at op ${header.op} (pitfall 17)`);
  const batch = decodeBatch(prepareBody(prepare));
  assert(batch.ok, () => `op ${header.op} is committed but holds no batch`);
  const effects: unknown[] = [];
  let extraCheckpoint = false;
  r.appliedTimestamp = header.timestamp;
  for (const request of batch.value) {
    if (applyRequest(r, header, request, effects)) extraCheckpoint = true;
    requestLeft(r, request);
    onRequestApplied(r, header.op, request);
  }
  r.members.fences.delete(header.op);
  r.members.boundaries.delete(header.op);
  r.applied = header.op;
  r.appliedId = header.id;
  onOpApplied(r);
  if (effects.length > 0) {
    const replay = header.op <= r.replayUntil;
    const primary = isNormalPrimary(r);
    r.out.push({ type: 'apply-effects', op: header.op, timestamp: header.timestamp, primary, replay, effects });
  }
  reportState(r, header.op);
  onSystemApplied(r, header.op);
  onCheckpointOp(r, header, extraCheckpoint);
  forgetBehind(r, header.op);
}

/** Table G, column apply. True: the state machine asks for a checkpoint at this op. */
function applyRequest<S>(r: Replica<S>, header: PrepareHeader, request: ClientRequest, effects: unknown[]): boolean {
  const { op, timestamp } = header;
  if (request.client === systemClient) return applySystem(r, header, request.body);
  const entry = r.sessions.get(request.client);
  if (entry !== undefined && entry.session === request.session) {
    if (!isIntact(entry)) noteDamage(r, `session ${entry.session}`);
    raiseFloor(r, entry, request.floor);
    entry.lastOp = op;
    seal(entry);
  }
  const { apply } = sessionRow(sessionFacts(r, request, { inFlight: false, queueFull: false }));
  // When the log is replayed, kept and not sent: a registration of then may have been evicted since.
  const answers = isNormalPrimary(r) && op > r.replayUntil && !isSuspect(r);
  switch (apply) {
    case 'insert':
      insertSession(r, request.client, op as number as SessionNumber);
      if (answers) replySession(r, request);
      return false;
    case 'same-session':
      if (answers) replySession(r, request);
      return false;
    case 'run': {
      assert(entry !== undefined, 'a request runs in a session');
      const { client, session, checksum, body } = request;
      const applied = r.machine.apply(r.state, { op: toOp(op), timestamp, client, session, checksum, body });
      r.state = applied.state;
      for (const effect of applied.effects) effects.push(effect);
      // A rejection is an outcome like any other and uses up its number (pitfall 37).
      const outcome = sealedOutcome({ checksum: request.checksum, op, timestamp, body: applied.reply });
      keepOutcome(r, entry, request.number, outcome);
      seal(entry);
      if (answers) replyOutcome(r, request, outcome);
      return applied.checkpoint === true;
    }
    case 'skip-evicted':
      if (answers) notify(r, request.client, { type: 'evicted', session: request.session });
      return false;
    case 'skip-window-full':
      if (answers) refuseRequest(r, request, 'window-full');
      return false;
    case 'skip':
      r.mark('applied-twice-skipped');
      return false;
    case 'none':
      return false;
    default:
      return unreachable(apply);
  }
}

export function replySession<S>(r: Replica<S>, request: ClientRequest): void {
  const entry = r.sessions.get(request.client);
  if (entry !== undefined) notify(r, request.client, { type: 'registered', session: entry.session });
}

export function replyOutcome<S>(r: Replica<S>, request: ClientRequest, outcome: Outcome): void {
  const { client, session, number } = request;
  const { op, timestamp, body } = outcome;
  notify(r, client, { type: 'outcome', session, number, op: toOp(op), timestamp: timestamp as Timestamp, body });
}
