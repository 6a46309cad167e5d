import { assert, type CheckpointRef, checkpointParts, type Checksum } from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { noteStable, onCheckpointDurable, ownMark, serveRef, setRefs, trimTo } from './checkpoint.ts';
import type { CheckpointContent } from './checkpoint-content.ts';
import { isSuspect } from './divergence.ts';
import { acknowledge } from './log-writes.ts';
import type {
  CheckpointOfferMessage,
  CheckpointPartMessage,
  RequestCheckpointMessage,
  RequestCheckpointPartMessage,
} from './message.ts';
import { giveUpMending, onMendPart, onMendReceiving, onMendStored, onMendTimer } from './mend.ts';
import { extendLinks, readsOwnHeaders, startRepair } from './repair.ts';
import { idAt, isDurableAt, primaryOf, type Replica } from './replica.ts';
import { armTimer, broadcast, disarm, send } from './send.ts';
import { adopt, beginLoading } from './state-load.ts';
import { jittered } from './timeouts.ts';

// State sync: a replica that the others' logs cannot bring up to date, or that lost its state, fetches a checkpoint.
// Only one whose checksum a replication quorum reports; part by part, each checked, from whoever has it.

/** A part that was asked for. */
interface Flight {
  readonly peer: number;
  readonly sentUs: number;
}

export interface Syncing<S> {
  /**
   * asking: which checkpoints are there. manifest: one is chosen, its list of parts is awaited. opening: the disk says
   * which parts are here already. fetching. loading: all parts are here. ready: decoded, waits for the head to reach
   * it. installing: the superblock is about to name it.
   */
  readonly phase: 'asking' | 'manifest' | 'opening' | 'fetching' | 'loading' | 'ready' | 'installing';
  /** How often everybody was asked, and nothing was found that a quorum vouches for. */
  readonly rounds: number;
  /** What each replica offered, by id. */
  readonly offers: ReadonlyMap<number, CheckpointOfferMessage['offers']>;
  readonly target: CheckpointRef | null;
  /** A quorum is known to have had the target. */
  readonly vouched: boolean;
  /** Parts not asked for yet, ascending. */
  readonly missing: readonly number[];
  readonly flights: ReadonlyMap<number, Flight>;
  /** Parts that wait for the disk. */
  readonly storing: number;
  readonly content: CheckpointContent<S> | null;
  /** Rises with each request that goes unanswered or is answered badly: the next goes to another peer. */
  readonly turn: number;
  /** When something arrived last. */
  readonly heardUs: number;
}

/** Parts asked for and not here yet, of all peers: what a client's request may have to wait behind. */
const flightsMax = 4;
/** Nothing arrives for so many request timeouts: ask again who has what. */
const patience = 8;

/** This replica's next op is gone from the primary's log, and it is not here either. */
export function watchForTrimmedLog<S>(r: Replica<S>): void {
  if (r.syncing !== null || r.loading !== null) return;
  const next = r.applied + 1;
  if (r.applied >= r.checkpointing.primaryTrimmed || r.applied >= r.commit) return;
  if (r.linkedLow <= next && (isDurableAt(r, next) || r.bodies.has(next))) return;
  if (readsOwnHeaders(r)) return;
  beginSync(r);
}

export function beginSync<S>(r: Replica<S>): void {
  r.mark('state-sync');
  giveUpMending(r);
  r.syncing = {
    phase: 'asking',
    rounds: 0,
    offers: new Map(),
    target: null,
    vouched: false,
    missing: [],
    flights: new Map(),
    storing: 0,
    content: null,
    turn: r.syncing?.turn ?? 0,
    heardUs: r.now,
  };
  askForCheckpoints(r);
}

function askForCheckpoints<S>(r: Replica<S>): void {
  broadcast(r, { type: 'request-checkpoint', from: r.self });
  disarm(r, 'sync');
  armTimer(r, 'sync', jittered(r, r.timing.repairTimeoutMs));
}

export function onSyncTimer<S>(r: Replica<S>): void {
  disarm(r, 'sync');
  const s = r.syncing;
  if (s === null) return onMendTimer(r);
  // Another primary's log reached far enough back.
  if (r.stateLoaded && s.phase !== 'installing' && r.applied === r.commit) return endSync(r);
  // What was missing has come meanwhile, and no checkpoint is newer: the log brings the rest.
  if (r.stateLoaded && s.phase === 'asking' && r.applied >= r.checkpointing.primaryTrimmed) return endSync(r);
  const silentMs = (r.now - s.heardUs) / 1000;
  const waitsForPeers = s.phase === 'manifest' || s.phase === 'fetching';
  if (waitsForPeers && silentMs > patience * r.timing.repairTimeoutMs) return beginSync(r);
  if (s.phase === 'asking') {
    r.syncing = { ...s, rounds: s.rounds + 1 };
    return askForCheckpoints(r);
  }
  if (s.phase === 'manifest') requestManifest(r, s);
  if (s.phase === 'fetching') requestAgain(r, s);
  if (s.phase === 'ready') installReady(r);
  armTimer(r, 'sync', jittered(r, r.timing.repairTimeoutMs));
}

// Serving.

export function onRequestCheckpoint<S>(r: Replica<S>, m: RequestCheckpointMessage): void {
  const { damaged, stable } = r.checkpointing;
  if (isSuspect(r)) return;
  const offers = r.durable.checkpoints
    .filter(({ checksum }) => !damaged.has(checksum))
    .map((ref) => ({ ref, stable: stable !== null && isStable(ref, stable) }));
  if (offers.length > 0) send(r, m.from, { type: 'checkpoint-offer', from: r.self, offers });
}

/** A quorum is known to have had just this one. Of an older one than the newest such, nothing is known any more. */
const isStable = (ref: CheckpointRef, stable: { readonly op: number; readonly checksum: Checksum }): boolean =>
  ref.header.op === stable.op && ref.checksum === stable.checksum;

export function onRequestCheckpointPart<S>(r: Replica<S>, m: RequestCheckpointPartMessage): void {
  const ref = isSuspect(r) ? null : serveRef(r, m.checksum);
  const isPart = ref !== null && m.part <= checkpointParts(ref.contentBytes);
  if (!isPart) {
    return send(r, m.from, { type: 'checkpoint-part', from: r.self, checksum: m.checksum, part: m.part, bytes: null });
  }
  r.out.push({ type: 'read-checkpoint-part', ref, part: m.part, to: m.from });
}

// Choosing.

export function onCheckpointOffer<S>(r: Replica<S>, m: CheckpointOfferMessage): void {
  const s = r.syncing;
  if (s === null) return;
  const offers = new Map(s.offers).set(m.from, m.offers);
  r.syncing = { ...s, offers };
  if (s.phase !== 'asking') return;
  const vouched = chooseTarget(r, offers);
  const target = vouched ?? primarysCheckpoint(r, r.syncing);
  if (target === null) return;
  r.syncing = { ...r.syncing, target, vouched: vouched !== null, phase: 'manifest', heardUs: r.now };
  requestManifest(r, r.syncing);
}

/** Above what is applied here; and never below the newest the superblock has named, which does not go back. */
const isOfUse = <S>(r: Replica<S>, { header }: CheckpointRef): boolean =>
  header.op >= r.checkpoint && !(r.stateLoaded && header.op <= r.applied);

/** The newest that a quorum vouches for: by offering it, or through one who knows that a quorum had it. */
function chooseTarget<S>(r: Replica<S>, offers: Syncing<S>['offers']): CheckpointRef | null {
  let best: CheckpointRef | null = null;
  const own = ownMark(r);
  for (const list of offers.values()) {
    for (const { ref, stable } of list) {
      if (best !== null && ref.header.op <= best.header.op) continue;
      if (!isOfUse(r, ref)) continue;
      const alike = [...offers.values()].filter((other) => other.some((o) => o.ref.checksum === ref.checksum)).length;
      // An own one that cannot be read was reported by this replica too.
      const vouchers = alike + (own?.checksum === ref.checksum ? 1 : 0);
      if (stable || vouchers >= r.quorums.replication) best = ref;
    }
  }
  return best;
}

/** Rounds after which a checkpoint that only the primary has is taken. */
const roundsMax = 6;

/**
 * Where a machine is lost and another was far behind, the primary may be the only one left with a state. It is the one
 * that clients are answered from, so it is taken when nobody else has any, rather than none for ever.
 */
function primarysCheckpoint<S>(r: Replica<S>, s: Syncing<S>): CheckpointRef | null {
  if (s.rounds < roundsMax || r.status !== 'normal') return null;
  const [newest] = s.offers.get(primaryOf(r, r.view)) ?? [];
  if (newest === undefined || !isOfUse(r, newest.ref)) return null;
  for (const list of s.offers.values()) {
    const other = list.find(({ ref }) => ref.header.op === newest.ref.header.op);
    if (other !== undefined && other.ref.checksum !== newest.ref.checksum) return null;
  }
  r.mark('checkpoint-of-the-primary-alone');
  return newest.ref;
}

const holders = <S>(s: Syncing<S>): readonly number[] =>
  [...s.offers].filter(([, list]) => list.some((o) => o.ref.checksum === s.target?.checksum)).map(([peer]) => peer);

/** The manifest lies behind the parts, and is asked for by the number behind theirs. */
function requestManifest<S>(r: Replica<S>, s: Syncing<S>): void {
  assert(s.target !== null, 'a target is chosen');
  request(r, { ...s, turn: s.turn + 1 }, checkpointParts(s.target.contentBytes));
}

function request<S>(r: Replica<S>, s: Syncing<S>, part: number): void {
  const peers = holders(s);
  const peer = peers[(s.turn + part) % Math.max(1, peers.length)];
  if (peer === undefined || s.target === null) return beginSync(r);
  const flights = new Map(s.flights).set(part, { peer, sentUs: r.now });
  r.syncing = { ...s, flights };
  send(r, peer, { type: 'request-checkpoint-part', from: r.self, checksum: s.target.checksum, part });
}

// Fetching.

export function onCheckpointPart<S>(r: Replica<S>, m: CheckpointPartMessage): void {
  const s = r.syncing;
  if (s === null) return onMendPart(r, m);
  if (s.target === null || s.target.checksum !== m.checksum || !s.flights.has(m.part)) return;
  if (s.phase !== 'manifest' && s.phase !== 'fetching') return;
  if (m.bytes === null) return withoutHolder(r, s, m);
  const flights = new Map(s.flights);
  flights.delete(m.part);
  const isManifest = m.part === checkpointParts(s.target.contentBytes);
  if (isManifest !== (s.phase === 'manifest')) return;
  if (isManifest) {
    r.syncing = { ...s, flights, phase: 'opening', heardUs: r.now };
    r.out.push({ type: 'receive-checkpoint', ref: s.target, manifest: m.bytes });
    return;
  }
  // Not heard of for good before it is stored: a disk that wants none of it is asked to receive anew after a while.
  r.syncing = { ...s, flights, storing: s.storing + 1 };
  r.out.push({ type: 'store-checkpoint-part', ref: s.target, part: m.part, bytes: m.bytes });
  requestMore(r);
}

/** It let go of the checkpoint meanwhile, or cannot read it. */
function withoutHolder<S>(r: Replica<S>, s: Syncing<S>, m: CheckpointPartMessage): void {
  const offers = new Map(s.offers);
  offers.delete(m.from);
  r.mark('checkpoint-gone-at-peer');
  request(r, { ...s, offers, turn: s.turn + 1 }, m.part);
}

/** The disk knows which parts are missing; null: that was no manifest of the target, or there is no space. */
export function onCheckpointReceiving<S>(r: Replica<S>, checksum: Checksum, missing: readonly number[] | null): void {
  const s = r.syncing;
  if (s === null) return onMendReceiving(r, checksum, missing);
  if (s.phase !== 'opening' || s.target?.checksum !== checksum) return;
  if (missing === null) {
    r.syncing = { ...s, phase: 'manifest', turn: s.turn + 1, flights: new Map() };
    return;
  }
  if (missing.length < checkpointParts(s.target.contentBytes)) r.mark('state-sync-resumed');
  r.syncing = { ...s, phase: 'fetching', missing, flights: new Map(), heardUs: r.now };
  requestMore(r);
}

function requestMore<S>(r: Replica<S>): void {
  for (let s = r.syncing; s !== null && s.phase === 'fetching'; s = r.syncing) {
    const [part] = s.missing;
    if (part === undefined) return loadWhenStored(r, s);
    if (s.flights.size + s.storing >= flightsMax) return;
    request(r, { ...s, missing: s.missing.slice(1) }, part);
  }
}

/** Parts that nobody answered in time go to the next peer. */
function requestAgain<S>(r: Replica<S>, s: Syncing<S>): void {
  for (const [part, { sentUs }] of s.flights) {
    const now = r.syncing;
    if (now === null || now.phase !== 'fetching') return;
    if (r.now - sentUs >= r.timing.repairTimeoutMs * 1000) request(r, { ...now, turn: now.turn + 1 }, part);
  }
}

/** False: it is not what the manifest says, or there is no space. */
export function onCheckpointPartStored<S>(r: Replica<S>, checksum: Checksum, part: number, stored: boolean): void {
  const s = r.syncing;
  if (s === null) return onMendStored(r, checksum, part, stored);
  if (s.phase !== 'fetching' || s.target?.checksum !== checksum) return;
  const storing = s.storing - 1;
  if (stored) r.syncing = { ...s, storing, heardUs: r.now };
  else r.syncing = { ...s, storing, turn: s.turn + 1, missing: [...s.missing, part] };
  requestMore(r);
}

function loadWhenStored<S>(r: Replica<S>, s: Syncing<S>): void {
  if (s.flights.size > 0 || s.storing > 0 || s.target === null) return;
  r.syncing = { ...s, phase: 'loading' };
  beginLoading(r, s.target, 'sync');
}

export function onContentDamaged<S>(r: Replica<S>): void {
  beginSync(r);
}

export function onContentLoaded<S>(r: Replica<S>, ref: CheckpointRef, content: CheckpointContent<S>): void {
  const s = r.syncing;
  if (s === null || s.target?.checksum !== ref.checksum) return;
  r.syncing = { ...s, phase: 'ready', content };
  installReady(r);
}

// Installing.

/**
 * A log never ends below the checkpoint it goes on from, and only a start_view moves its end: so this waits until the
 * replica is normal and its head has reached the checkpoint.
 */
export function installReady<S>(r: Replica<S>): void {
  const s = r.syncing;
  if (s === null || s.phase !== 'ready' || s.target === null || s.content === null) return;
  const { header } = s.target;
  if (r.stateLoaded && header.op <= r.applied) return endSync(r);
  if (r.status !== 'normal' || r.head < header.op) return;
  const known = idAt(r, header.op);
  assert(known === null || known === header.id, () => `the checkpoint at op ${header.op} is of another log`);
  r.mark('checkpoint-installed');
  dropBelow(r, s.target);
  adopt(r, s.target, s.content);
  r.commit = Math.max(r.commit, header.op);
  r.timestamp = Math.max(r.timestamp, header.timestamp);
  r.syncing = { ...s, phase: 'installing', content: null };
  r.checkpointing.waiting = null;
  r.checkpointing.written = null;
  if (s.vouched) noteStable(r, { op: header.op, checksum: s.target.checksum });
  // It may be the own one that could not be read: it is whole again.
  const { checksum } = s.target;
  r.checkpointing.damaged = new Set([...r.checkpointing.damaged].filter((damaged) => damaged !== checksum));
  setRefs(r, [s.target]);
  extendLinks(r);
  advanceApply(r);
}

/** The log begins at the checkpoint now. What is intact above it stays. */
function dropBelow<S>(r: Replica<S>, { header }: CheckpointRef): void {
  const low = header.op;
  for (const map of [r.log, r.slots, r.bodies, r.fetches, r.members.fences])
    for (const op of map.keys()) if (op <= low) map.delete(op);
  for (const set of [r.unwritten, r.damaged, r.members.boundaries]) for (const op of set) if (op <= low) set.delete(op);
  r.log.set(low, { id: header.id, header });
  r.slots.set(low, { durable: header.id, writing: null, faulty: false });
  // A replica that goes back has more of it on the disk than in memory.
  r.logLow = Math.max(r.logLow, low);
  r.linkedLow = Math.max(r.linkedLow, low);
  r.headerFetch = null;
}

/** The superblock names the checkpoint: this replica counts again. */
export function onSyncDurable<S>(r: Replica<S>): void {
  const s = r.syncing;
  // A newer one of its own may be named together with it.
  if (s === null || s.target === null || s.phase !== 'installing') return;
  if (r.durable.checkpoint < s.target.header.op) return;
  trimTo(r, Math.max(r.checkpointing.trimmed, s.target.header.op));
  endSync(r);
  onCheckpointDurable(r);
}

function endSync<S>(r: Replica<S>): void {
  r.syncing = null;
  disarm(r, 'sync');
  for (let op = r.commit + 1; op <= r.head; op++) acknowledge(r, op);
  startRepair(r);
}
