import { quarantineForDamage } from './divergence.ts';
import type { Replica } from './replica.ts';
import { setTimer } from './send.ts';
import { isIntact, isOutcomeIntact, type SessionEntry, sizeOfOutcome } from './sessions.ts';
import type { AuditStep } from './state-machine.ts';

// Memory rots too. A value that changes by itself changes no hash that was taken before, so the replica looks through
// its state all the time, a slice at a time, and compares what is there with what was hashed when it was put there.

export function startAudit<S>(r: Replica<S>): void {
  if (r.auditor !== null) setTimer(r, 'audit', r.timing.auditRestMs);
}

/** First the sessions, then the state machine's own state. */
export function onAuditTimer<S>(r: Replica<S>): void {
  const looks = r.stateLoaded && r.divergence.quarantine === null;
  const found = looks ? nextSlice(r) : null;
  setTimer(r, 'audit', found?.type === 'more' ? r.timing.auditMs : r.timing.auditRestMs);
  if (found?.type === 'damaged') quarantineForDamage(r, found.where);
}

function nextSlice<S>(r: Replica<S>): AuditStep | null {
  if (r.auditCursor !== null) return auditSessions(r, r.auditCursor);
  const found = r.auditor?.next(r.state) ?? null;
  if (found?.type !== 'more') r.auditCursor = 0;
  return found;
}

/** Bytes of outcomes looked at in one slice, and sessions. */
const sliceBytes = 131_072;
const sliceSessions = 256;

/** Sessions with numbers above `after`. */
function auditSessions<S>(r: Replica<S>, after: number): AuditStep {
  const left = [...r.sessions.values()].filter(({ session }) => session > after);
  let bytes = 0;
  for (const [i, entry] of left.sort((a, b) => a.session - b.session).entries()) {
    if (bytes >= sliceBytes || i >= sliceSessions) return { type: 'more' };
    if (!isSound(entry)) return { type: 'damaged', where: `session ${entry.session}` };
    r.auditCursor = entry.session;
    bytes += entry.outcomeBytes;
  }
  r.auditCursor = null;
  return { type: 'more' };
}

function isSound(entry: SessionEntry): boolean {
  let bytes = 0;
  for (const outcome of entry.outcomes.values()) {
    if (!isOutcomeIntact(outcome)) return false;
    bytes += sizeOfOutcome(outcome);
  }
  return isIntact(entry) && bytes === entry.outcomeBytes;
}
