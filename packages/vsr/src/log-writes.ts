import { type Checksum, op as toOp, type Prepare, view as toView } from '@kimberlite/base';
import { noteSystemOp } from './members.ts';
import { send } from './send.ts';
import { keepWritten } from './checkpoint.ts';
import { commitByAcks, countAck } from './commit.ts';
import { isSuspect } from './divergence.ts';
import { isWhole, noteWhole } from './epoch.ts';
import {
  bodyAt,
  idAt,
  isDurableAt,
  isNormalPrimary,
  isVoter,
  primaryOf,
  type Replica,
  setEntry,
  slotAt,
} from './replica.ts';

// Getting prepares onto the disk, and acknowledging them once they are there.

/** Committed prepares that stay in memory to be sent again. */
const bodiesKept = 64;
/** Committed prepares above the applied op that stay in memory. */
const bodiesAhead = 256;
/** Headers below the applied op that stay in memory for peers that ask. */
export const headersKept = 8192;

/** Slots may change only once the log view that wants it is in the superblock (pitfall 50). */
const slotsOpen = <S>(r: Replica<S>): boolean => r.durable.logView === r.logView;

/** Takes a body the log wants, and writes it unless it is there already. */
export function takeBody<S>(r: Replica<S>, prepare: Prepare): void {
  const { header } = prepare;
  setEntry(r, header.op, header.id, header);
  r.bodies.set(header.op, prepare);
  noteSystemOp(r, prepare);
  r.fetches.delete(header.op);
  writeBody(r, header.op);
}

/** Starts the write of the body at `op`, or notes that it has to wait. An intact slot is never rewritten. */
export function writeBody<S>(r: Replica<S>, op: number): void {
  const prepare = bodyAt(r, op);
  if (prepare === null || isDurableAt(r, op)) return;
  const slot = slotAt(r, op);
  if (slot.writing === prepare.header.id) return;
  // One write in flight per slot, or the older could land last (pitfall 46).
  if (slot.writing !== null || !slotsOpen(r)) {
    r.mark('write-waits-its-turn');
    r.unwritten.add(op);
    return;
  }
  r.unwritten.delete(op);
  r.slots.set(op, { durable: null, writing: prepare.header.id, faulty: slot.faulty });
  r.out.push({ type: 'write-to-log', prepare });
}

/** The superblock now names the log view: what waited for it is written. */
export function writeWaiting<S>(r: Replica<S>): void {
  if (!slotsOpen(r)) return;
  for (const op of [...r.unwritten].sort((a, b) => a - b)) writeBody(r, op);
}

export function onLogWritten<S>(r: Replica<S>, op: number, id: Checksum): void {
  const slot = slotAt(r, op);
  if (slot.writing !== id) return;
  if (slot.faulty) r.mark('faulty-slot-rewritten');
  r.slots.set(op, { durable: id, writing: null, faulty: false });
  r.unwritten.delete(op);
  // The log may want something else here by now (pitfalls 13, 45): then that is written, and nothing is acknowledged.
  if (idAt(r, op) !== id) {
    r.mark('written-but-unwanted');
    writeBody(r, op);
    return;
  }
  r.damaged.delete(op);
  keepWritten(r);
  noteWhole(r);
  acknowledge(r, op);
  forgetApplied(r, op);
  forgetAhead(r, op);
}

/** Says that the prepare at `op` is durable here, if it is and the view lets this replica speak. */
export function acknowledge<S>(r: Replica<S>, op: number): void {
  // Until a fetched checkpoint is durable, this replica's acks mean nothing.
  if (r.status !== 'normal' || r.syncing !== null || op > r.head || !isDurableAt(r, op)) return;
  if (!isVoter(r) || !isWhole(r)) return;
  // Nor those of a replica that has diverged, or does not know whether it has.
  if (isSuspect(r)) return;
  // Let go of, it may have ended unwritten: the checkpoint above it speaks for it.
  if (op <= r.checkpointing.trimmed) return;
  const id = idAt(r, op);
  if (id === null) return;
  if (isNormalPrimary(r)) {
    countAck(r, op, r.self);
    commitByAcks(r);
    return;
  }
  // To the primary of the current view, not to the prepare's (pitfall 14). Per op, never cumulative (pitfall 53).
  send(r, primaryOf(r, r.view), {
    type: 'prepare-ok',
    from: r.self,
    view: toView(r.view),
    op: toOp(op),
    id,
    round: r.roundSeen,
    checkpoint: r.durable.checkpoint,
    report: r.report,
  });
}

/** A damaged op that nobody could bring all the while is left to the next boot, or memory would grow without end. */
function mayForget<S>(r: Replica<S>, op: number): boolean {
  if (op === 0 || isDurableAt(r, op)) return true;
  const { faulty, writing } = slotAt(r, op);
  return faulty && writing === null && !r.unwritten.has(op);
}

/** Lets go of bodies and headers that only a replica far behind could ask for; the log on disk has them. */
export function forgetApplied<S>(r: Replica<S>, op: number): void {
  if (op <= r.applied - bodiesKept && isDurableAt(r, op)) r.bodies.delete(op);
  // Read once more by a replica that went back.
  if (op < r.logLow && isDurableAt(r, op)) {
    r.log.delete(op);
    r.slots.delete(op);
  }
  while (r.logLow < r.applied - headersKept && mayForget(r, r.logLow)) {
    r.damaged.delete(r.logLow);
    r.bodies.delete(r.logLow);
    r.log.delete(r.logLow);
    r.slots.delete(r.logLow);
    r.logLow++;
  }
}

/** Committed prepares far ahead of the applied op stay on the disk alone: while a state is fetched there may be many. */
export function forgetAhead<S>(r: Replica<S>, op: number): void {
  if (op <= r.commit && op > r.applied + bodiesAhead && isDurableAt(r, op)) r.bodies.delete(op);
}

/** After applying `op`: the body that just left the window. */
export const forgetBehind = <S>(r: Replica<S>, op: number): void => forgetApplied(r, op - bodiesKept);
