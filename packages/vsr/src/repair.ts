import { assert, type Checksum, op as toOp, type Prepare, type PrepareHeader, replicasMax } from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { takeBody, writeBody } from './log-writes.ts';
import { noteSystemOp } from './members.ts';
import { fetchMending, takeMended } from './mend.ts';
import type { HeadersMessage, RepairPrepareMessage, RequestHeadersMessage, RequestPrepareMessage } from './message.ts';
import { hasReplica, withReplica } from './quorum.ts';
import {
  bodyAt,
  emptySlot,
  type HeaderWalk,
  idAt,
  isDurableAt,
  isOnDisk,
  isSoleVoter,
  type LogRead,
  primaryOf,
  type Replica,
  setEntry,
  slotAt,
} from './replica.ts';
import { heldBy } from './select.ts';
import { armTimer, cancelTimer, disarm, otherReplicas, send } from './send.ts';
import { jittered } from './timeouts.ts';
import { finishFetching } from './view-change.ts';

// Repair: what the log should hold and does not, asked for and accepted by (op, id) alone. Never moves the head.

/** Ops ahead of the applied op whose bodies are fetched: bounds the memory of a replica that catches up. */
const repairWindow = 128;
/** Requests in flight to one peer, so that a slow one cannot eat the budget of the others (pitfall 34). */
const fetchesPerPeerMax = 32;
/** Headers in one answer. */
const headersPerAnswerMax = 256;
/** Headers in one answer put together from log reads. */
const headersPerWalkMax = 128;
/** Own log reads under way. */
const readsMax = 256;
/** Ops read ahead while applying from the log. */
const readAhead = 32;

/** During a view change only the new primary repairs (pitfall 18). */
const mayRepair = <S>(r: Replica<S>): boolean =>
  r.status === 'normal' || (r.status === 'view-change' && r.phase === 'fetching');

/** Follows parent links down from the lowest linked op, as far as headers are known. */
export function extendLinks<S>(r: Replica<S>): void {
  while (r.linkedLow > r.applied + 1) {
    const header = r.log.get(r.linkedLow)?.header ?? null;
    if (header === null) return;
    const below = r.linkedLow - 1;
    const id = idAt(r, below);
    assert(id === null || id === header.parent, () => `op ${below} does not link to the log of view ${r.logView}`);
    if (id === null) setEntry(r, below, header.parent, null);
    r.linkedLow = below;
  }
}

/** Asks for whatever is missing, as far as the bounds allow. */
export function startRepair<S>(r: Replica<S>): void {
  if (!mayRepair(r)) return;
  // What is below a checkpoint that is being fetched is gone from the others' logs.
  if (r.linkedLow > r.applied + 1 && r.syncing === null) fetchHeaders(r);
  const load = new Map<number, number>();
  for (const { peer } of r.fetches.values()) load.set(peer, (load.get(peer) ?? 0) + 1);
  // The undecided end first: commits wait for it.
  for (let op = r.commit + 1; op <= r.head; op++) fetchBody(r, op, load);
  if (r.syncing === null && r.stateLoaded) fetchCommitted(r, load);
  fetchMending(r);
  if (r.damaged.size > 0 || r.fetches.size > 0 || r.headerFetch !== null || r.applied < r.commit) armRepairTimer(r);
}

function fetchCommitted<S>(r: Replica<S>, load: Map<number, number>): void {
  const last = Math.min(r.commit, r.applied + repairWindow);
  for (let op = Math.max(r.applied + 1, r.linkedLow); op <= last; op++) fetchBody(r, op, load);
  for (const op of r.damaged) fetchBody(r, op, load);
}

const armRepairTimer = <S>(r: Replica<S>): void => armTimer(r, 'repair', jittered(r, r.timing.repairMs));

export function stopRepair<S>(r: Replica<S>): void {
  r.fetches.clear();
  r.headerFetch = null;
  disarm(r, 'repair');
  cancelTimer(r, 'repair');
}

export function onRepairTimer<S>(r: Replica<S>): void {
  disarm(r, 'repair');
  if (!mayRepair(r)) return;
  advanceApply(r);
  startRepair(r);
}

const isLate = <S>(r: Replica<S>, sentUs: number): boolean => r.now - sentUs >= r.timing.repairTimeoutMs * 1000;

/** After so many unanswered requests a peer is asked only when no other is left. */
const missesMax = 3;

/** The next peer to ask: first whoever is known to have it, then the others in turn, the fastest first. */
function peerFor<S>(r: Replica<S>, attempts: number, first: readonly number[] = []): number {
  const speed = (peer: number): number => r.samples.get(peer)?.errorUs ?? Number.MAX_SAFE_INTEGER;
  const rest = [...otherReplicas(r), ...r.members.former].filter((peer) => !first.includes(peer));
  const known = [...first, ...rest.sort((a, b) => speed(a) - speed(b) || a - b)];
  const order = attempts < known.length ? known : [...known, ...leftBefore(r, known)];
  const answering = order.filter((peer) => (r.misses[peer] ?? 0) < missesMax);
  const choice = answering.length > 0 ? answering : order;
  const peer = choice[attempts % choice.length];
  assert(peer !== undefined, 'there is another replica');
  return peer;
}

/** Until it has everything up to its epoch, whoever left may have the only copy; after a boot it does not know who did. */
function leftBefore<S>(r: Replica<S>, known: readonly number[]): readonly number[] {
  if (r.members.wholeEpoch === r.group.epoch) return [];
  const all = Array.from({ length: replicasMax }, (_, replica) => replica);
  return all.filter((replica) => replica !== r.self && !known.includes(replica));
}

const missed = <S>(r: Replica<S>, peer: number): void => void (r.misses[peer] = (r.misses[peer] ?? 0) + 1);

/** A replica that goes back to an earlier state: its own disk has what was let go of in memory. */
export const readsOwnHeaders = <S>(r: Replica<S>): boolean =>
  r.linkedLow > r.applied + 1 && r.linkedLow < r.logLow && isDurableAt(r, r.linkedLow);

function fetchHeaders<S>(r: Replica<S>): void {
  const lowest = idAt(r, r.linkedLow);
  if (readsOwnHeaders(r) && lowest !== null) return readOwn(r, r.linkedLow, lowest);
  const pending = r.headerFetch;
  const same = pending !== null && pending.high === r.linkedLow;
  if (same && !isLate(r, pending.sentUs)) return;
  if (same) missed(r, pending.peer);
  const attempts = same ? pending.attempts + 1 : 0;
  const id = idAt(r, r.linkedLow);
  if (id === null) return;
  const peer = peerFor(r, attempts);
  r.mark('headers-fetched');
  r.headerFetch = { high: r.linkedLow, peer, sentUs: r.now, attempts };
  send(r, peer, {
    type: 'request-headers',
    from: r.self,
    low: toOp(r.applied + 1),
    high: toOp(r.linkedLow),
    highId: id,
  });
}

/** Who is likely to have the body: holders by their do_view_change, the primary for what is undecided. */
function likelyHolders<S>(r: Replica<S>, op: number, id: Checksum): readonly number[] {
  if (r.phase === 'fetching' && r.status === 'view-change') {
    const entry = { op, id, header: null };
    return [...r.dvcs.values()].filter((d) => d.from !== r.self && heldBy(d, entry)).map((d) => d.from);
  }
  return op > r.commit ? [primaryOf(r, r.view)].filter((peer) => peer !== r.self) : [];
}

function fetchBody<S>(r: Replica<S>, op: number, load: Map<number, number>): void {
  const id = idAt(r, op);
  if (id === null || bodyAt(r, op) !== null) return;
  if (isDurableAt(r, op)) {
    if (op > r.commit) readOwn(r, op, id);
    return;
  }
  if (isSoleVoter(r)) throw new Error(`op ${op} is missing, and there is no other replica to repair it from`);
  const pending = r.fetches.get(op);
  const same = pending !== undefined && pending.id === id;
  if (same && !isLate(r, pending.sentUs)) return;
  if (same) missed(r, pending.peer);
  const attempts = same ? pending.attempts + 1 : 0;
  if (attempts > 0) r.mark('repair-asks-another-peer');
  const holders = likelyHolders(r, op, id);
  // Spread: op by op another peer begins, unless it is known who has it.
  const peer = peerFor(r, holders.length > 0 ? attempts : attempts + op, holders);
  const busy = load.get(peer) ?? 0;
  if (busy >= fetchesPerPeerMax) return;
  load.set(peer, busy + 1);
  r.fetches.set(op, { id, peer, sentUs: r.now, attempts });
  send(r, peer, { type: 'request-prepare', from: r.self, op: toOp(op), id });
}

// The own log.

const readKey = (op: number, id: Checksum): string => `${op}:${id}`;

/** Starts a read or joins one that is under way. False when there are too many. */
function read<S>(
  r: Replica<S>,
  op: number,
  id: Checksum,
  want: { readonly own?: true; readonly peer?: number },
): boolean {
  const key = readKey(op, id);
  const pending: LogRead | undefined = r.reads.get(key);
  if (pending === undefined && r.reads.size >= readsMax) return false;
  const peers = want.peer === undefined ? (pending?.peers ?? 0) : withReplica(pending?.peers ?? 0, want.peer);
  r.reads.set(key, { op, id, own: want.own === true || (pending?.own ?? false), peers });
  if (pending === undefined) r.out.push({ type: 'read-from-log', op: toOp(op), id });
  return true;
}

function readOwn<S>(r: Replica<S>, op: number, id: Checksum): void {
  const pending = r.reads.get(readKey(op, id));
  if (pending?.own !== true) read(r, op, id, { own: true });
}

/** Committed ops that are not in memory: read from the own log, or repaired. */
export function readBehind<S>(r: Replica<S>): void {
  const last = Math.min(r.commit, r.applied + readAhead);
  let missing = r.linkedLow > r.applied + 1;
  for (let op = Math.max(r.applied + 1, r.linkedLow); op <= last; op++) {
    const id = idAt(r, op);
    if (id === null || bodyAt(r, op) !== null) continue;
    if (isDurableAt(r, op)) readOwn(r, op, id);
    else missing = true;
  }
  if (missing) startRepair(r);
}

export function onPrepareRead<S>(r: Replica<S>, op: number, id: Checksum, prepare: Prepare | null): void {
  const pending = r.reads.get(readKey(op, id));
  r.reads.delete(readKey(op, id));
  if (prepare === null) onUnreadable(r, op, id);
  else {
    if (pending?.own === true) keepRead(r, prepare);
    for (const peer of otherReplicas(r)) {
      if (pending !== undefined && hasReplica(pending.peers, peer)) sendRepairPrepare(r, peer, prepare);
    }
  }
  for (const [peer, walk] of r.walks) {
    if (walk.op === op && walk.id === id) continueWalk(r, peer, walk, prepare?.header ?? null);
  }
  if (pending?.own === true) {
    advanceApply(r);
    finishFetching(r);
  }
}

function keepRead<S>(r: Replica<S>, prepare: Prepare): void {
  const { header } = prepare;
  if (header.op <= r.applied || idAt(r, header.op) !== header.id) return;
  setEntry(r, header.op, header.id, header);
  // Of what is far ahead of a replica that went back only the links are wanted yet.
  const isAhead = header.op < r.logLow && header.op > r.applied + repairWindow;
  if (!isAhead) {
    r.bodies.set(header.op, prepare);
    noteSystemOp(r, prepare);
  }
  extendLinks(r);
}

/** Rot: the slot is marked, and what it held is repaired from peers; never truncated, never nacked (pitfall 22). */
export function onUnreadable<S>(r: Replica<S>, op: number, id: Checksum): void {
  // Up to a checkpoint the log may be gone, and nothing needs it.
  if (op <= Math.max(Math.min(r.logLow, r.applied), r.checkpointing.trimmed)) return;
  if (op < r.logLow) {
    r.slots.set(op, { ...emptySlot, faulty: true });
    return startRepair(r);
  }
  const slot = slotAt(r, op);
  // No longer intact: its name will not make it durable any more.
  if (slot.found?.id === id) r.slots.set(op, { durable: null, writing: slot.writing, faulty: true });
  if (slot.durable !== id) return;
  if (isSoleVoter(r)) throw new Error(`op ${op} cannot be read, and there is no other replica to repair it from`);
  r.mark('unreadable-at-runtime');
  r.slots.set(op, { ...slot, durable: null, faulty: true });
  if (op <= r.applied) r.damaged.add(op);
  writeBody(r, op);
  startRepair(r);
}

// Answering.

export function onRequestPrepare<S>(r: Replica<S>, m: RequestPrepareMessage): void {
  const prepare = bodyAt(r, m.op);
  if (prepare !== null && prepare.header.id === m.id) return sendRepairPrepare(r, m.from, prepare);
  if (m.op < r.logLow || isOnDisk(r, m.op, m.id)) read(r, m.op, m.id, { peer: m.from });
}

const sendRepairPrepare = <S>(r: Replica<S>, to: number, prepare: Prepare): void =>
  send(r, to, { type: 'repair-prepare', from: r.self, prepare });

/** Headers in memory from `(op, id)` downwards, linked. */
function headersBelow<S>(r: Replica<S>, from: number, fromId: Checksum, low: number, max: number): PrepareHeader[] {
  const headers: PrepareHeader[] = [];
  let id = fromId;
  for (let op = from; op >= Math.max(1, low) && headers.length < max; op--) {
    const header = r.log.get(op)?.header ?? null;
    if (header === null || header.id !== id) break;
    headers.push(header);
    id = header.parent;
  }
  return headers;
}

export function onRequestHeaders<S>(r: Replica<S>, m: RequestHeadersMessage): void {
  const headers = headersBelow(r, m.high, m.highId, m.low, headersPerAnswerMax);
  const [top] = headers;
  // Below the window in memory, or under a break in the chain: the log itself is read, header by header. The header
  // that was asked for may be known there, and what is wanted is what lies below it.
  const [op, id] = top === undefined ? [m.high, m.highId] : [top.op - 1, top.parent];
  const isEnough = headers.length > 1 || m.high <= m.low;
  // One walk a peer, and to its end: begun anew at every request a slow one would never answer.
  if (!isEnough && r.walks.has(m.from)) return;
  const walks = !isEnough && (op < r.logLow || isOnDisk(r, op, id)) && read(r, op, id, {});
  if (walks) {
    r.mark('headers-read-from-log');
    r.walks.set(m.from, { low: m.low, op, id, headers });
  } else if (top !== undefined) send(r, m.from, { type: 'headers', from: r.self, headers });
}

function continueWalk<S>(r: Replica<S>, peer: number, walk: HeaderWalk, header: PrepareHeader | null): void {
  r.walks.delete(peer);
  const headers = header === null ? walk.headers : [...walk.headers, header];
  const ends = header === null || header.op <= Math.max(1, walk.low) || headers.length >= headersPerWalkMax;
  if (!ends && read(r, header.op - 1, header.parent, {})) {
    r.walks.set(peer, { low: walk.low, op: header.op - 1, id: header.parent, headers });
  } else if (headers.length > 0) send(r, peer, { type: 'headers', from: r.self, headers });
}

// Taking answers.

export function onHeaders<S>(r: Replica<S>, m: HeadersMessage): void {
  r.misses[m.from] = 0;
  if (!mayRepair(r) || r.linkedLow <= r.applied + 1) return;
  const before = r.linkedLow;
  for (const header of m.headers) {
    if (header.op !== r.linkedLow || header.id !== idAt(r, header.op)) continue;
    setEntry(r, header.op, header.id, header);
    extendLinks(r);
  }
  if (r.linkedLow === before) return;
  r.headerFetch = null;
  r.viewChangeProgress = true;
  advanceApply(r);
  startRepair(r);
  finishFetching(r);
}

export function onRepairPrepare<S>(r: Replica<S>, m: RepairPrepareMessage): void {
  r.misses[m.from] = 0;
  if (takeMended(r, m.prepare)) return;
  const { header } = m.prepare;
  if (!mayRepair(r) || header.op > r.head || idAt(r, header.op) !== header.id) return;
  if (header.op < r.linkedLow && header.op > r.commit) return;
  if (isDurableAt(r, header.op) || bodyAt(r, header.op) !== null) return;
  r.viewChangeProgress = true;
  takeBody(r, m.prepare);
  extendLinks(r);
  advanceApply(r);
  startRepair(r);
  finishFetching(r);
}
