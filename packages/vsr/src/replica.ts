import {
  assert,
  type Checksum,
  type ClientId,
  type ClusterId,
  type Hasher,
  ownVersions,
  type Prepare,
  type PrepareHeader,
  type RandomState,
  type RecoveredLog,
  type ReplicaId,
  replicaId,
  replicasMax,
  rootHeader,
  seedRandom,
  type VersionRange,
} from '@kimberlite/base';
import { type Checkpointing, createCheckpointing } from './checkpoint.ts';
import type { ClientQuery, ClientRequest } from './client.ts';
import type { ClockSample } from './clock.ts';
import type { ReplicaMark } from './coverage.ts';
import { createDivergence, type Divergence } from './divergence.ts';
import type { DurableState, DurableSuffixEntry } from './durable-state.ts';
import type { Effect } from './effect.ts';
import type { ClockReading } from './event.ts';
import { epochOf, foundingGroup, type Group, membersOf, primaryIn, quorumsOfGroup, viewsPerEpoch } from './group.ts';
import { createMembers, type Members } from './members.ts';
import { type Mending, nothingMended } from './mend.ts';
import type { DoViewChangeMessage, PrepareMessage, StateReport } from './message.ts';
import type { Quorums, ReplicaSet } from './quorum.ts';
import type { SessionEntry } from './sessions.ts';
import type { Loading } from './state-load.ts';
import type { StateAuditor, StateMachine } from './state-machine.ts';
import type { Syncing } from './state-sync.ts';
import { defaultTiming, type Timing } from './timeouts.ts';
import { createVersions, type Versions, whyNotSpoken } from './version.ts';

/** One op of the log as this replica believes it: what belongs at that op, wherever the body may be. */
export interface LogEntry {
  readonly id: Checksum;
  /** Null while only the id is known, from the parent link of the op above. */
  readonly header: PrepareHeader | null;
}

/** One op's place on disk: what is really there, whatever the log now wants there. */
export interface Slot {
  /** The prepare that is intact and synced here. */
  readonly durable: Checksum | null;
  /** The one write in flight (pitfall 46). Its start made `durable` null. */
  readonly writing: Checksum | null;
  /**
   * Held something that may have been acknowledged and is damaged, or that cannot be named. Cleared by rewriting
   * (pitfall 48), or when what is there turns out to be what is wanted.
   */
  readonly faulty: boolean;
  /** Intact and synced here since before the boot, under a break in the chain: durable once links lead to it. */
  readonly found?: PrepareHeader;
}

export const emptySlot: Slot = { durable: null, writing: null, faulty: false };

/** A start_view_change of another replica. */
export interface Vote {
  readonly view: number;
  readonly receivedUs: number;
}

/** A state and the op it belongs to, kept for a query that takes effect there. */
export interface Captured<S> {
  readonly state: S;
  readonly op: number;
  readonly timestamp: number;
}

/** A linearizable query on its way through Table F. */
export interface WaitingQuery<S> {
  readonly query: ClientQuery;
  /** c of Table F, and at least the head of this primary's start_view. */
  readonly needed: number;
  readonly round: number;
  readonly deadlineUs: number;
  /** True once the request it comes after has been applied. */
  readonly ordered: boolean;
  readonly captured: Captured<S> | null;
}

/** A query of level at-least that waits for a position. */
export interface PositionQuery {
  readonly query: ClientQuery;
  readonly position: number;
  readonly deadlineUs: number;
}

/** The requests of one session that the primary has taken but not applied. */
export interface Admission {
  /** The next number to be prepared; later ones wait for it. */
  next: number;
  /** Queued or in the log above the applied op (pitfall 56). */
  readonly inFlight: Set<number>;
  /** Arrived before their predecessors. */
  readonly waiting: Map<number, ClientRequest>;
}

export interface Fetch {
  readonly id: Checksum;
  readonly peer: number;
  readonly sentUs: number;
  readonly attempts: number;
}

/** A read of the own log that is under way, and for whom. */
export interface LogRead {
  readonly op: number;
  readonly id: Checksum;
  /** This replica wants it for itself: to apply, or to send again. */
  readonly own: boolean;
  readonly peers: ReplicaSet;
}

/** An answer to request-headers that is put together from log reads. */
export interface HeaderWalk {
  readonly low: number;
  readonly op: number;
  readonly id: Checksum;
  readonly headers: readonly PrepareHeader[];
}

export interface Replica<S> {
  // What it was made with. Never changes.
  readonly cluster: ClusterId;
  readonly self: ReplicaId;
  readonly hasher: Hasher;
  readonly machine: StateMachine<S>;
  readonly timing: Timing;
  readonly root: PrepareHeader;
  /** Drawn at this boot; an answer to an earlier boot's question does not carry it. */
  readonly nonce: string;
  /** Hears which of the branches in coverage.ts are taken. No part of the state. */
  readonly mark: (name: ReplicaMark) => void;

  /**
   * normal: the log is that of `view`, both durable. view-change: `view` was joined, its log not yet installed.
   * recovering-head: after a boot, unsure of the own head: no ack, vote, do_view_change or confirmation.
   */
  status: 'normal' | 'view-change' | 'recovering-head';
  /** Never goes back. `durable.view <= view`. */
  view: number;
  /** Who the cluster is, in the epoch of `view`. */
  group: Group;
  /** The op that made the group, the last of the epoch before. Null: founded. */
  boundary: PrepareHeader | null;
  /** Of the group. */
  quorums: Quorums;
  /** `logView <= view`; equal in status normal. Never goes back. */
  logView: number;
  /** Highest op of the log. `commit <= head <= commit + P`. Shrinks only when a new log view is installed. */
  head: number;
  /** Highest op known committed. Never goes back. */
  commit: number;
  /** Highest op the state machine has executed. `applied <= commit`. */
  applied: number;
  /** Id and timestamp of the applied op: the next one must link to it. */
  appliedId: Checksum;
  appliedTimestamp: number;
  /** Op of the newest checkpoint. Never goes back. */
  checkpoint: number;
  readonly checkpointing: Checkpointing<S>;
  /** Of a settled log, as it was installed; of an unsettled one, frozen when the log view was left (pitfall 52). */
  suffix: readonly DurableSuffixEntry[];

  /** What the superblock holds for certain. */
  durable: DurableState;
  flushing: { readonly sequence: number; readonly state: DurableState } | null;
  flushSequence: number;
  /** The superblock must be written again when the write in flight is done. */
  flushWanted: boolean;

  /** Entries of `logLow..head`, without those not known yet. None above `head`; 0 is the root. */
  log: Map<number, LogEntry>;
  /**
   * Everything below was applied and is durable, and no longer in memory; of a replica that goes back to an earlier
   * state, what it has read again, and the slots that turned out damaged.
   */
  logLow: number;
  /** Hash links lead from the head down to here without a gap; entries below and above `applied` are not trusted. */
  linkedLow: number;
  slots: Map<number, Slot>;
  /** Whole prepares in memory. The id is that of the log's entry. */
  bodies: Map<number, Prepare>;
  /** Ops whose body waits for its write: the log view is not durable yet, or an older write is in flight. */
  unwritten: Set<number>;
  /** Prepares of the current view that arrived before their predecessors. At most 2P. */
  stash: Map<number, PrepareMessage>;
  /** Greatest timestamp of any prepare ever seen here, truncated ones included (pitfall 17). */
  timestamp: number;

  // Primary, normal. Cleared when a view is entered (pitfall 12).
  /** Replicas whose ack of this view counts for the op; self only after the own write (pitfall 20). */
  acks: Map<number, ReplicaSet>;
  /** When an uncommitted op was last sent, and how often. */
  sent: Map<number, { readonly atUs: number; readonly attempts: number }>;
  /** Head of the own start_view. */
  inherited: number;
  /** The in-flight index is built: requests may be admitted (pitfall 56). */
  serving: boolean;
  queue: ClientRequest[];
  /** Requests in the queue and waiting for predecessors, and their bytes. */
  queuedCount: number;
  queuedBytes: number;
  /** By `client/session`; session 0 for a registration. */
  admissions: Map<string, Admission>;
  heartbeatNumber: number;
  /** When each replica was last heard in this view, by id; 0: not yet. */
  heardUs: number[];
  /** Since when something has waited for backups; null: nothing does (pitfall 61). */
  waitingSinceUs: number | null;
  /** Gave up: sends neither heartbeats nor retransmissions until a quorum is heard (pitfall 31). */
  silent: boolean;
  /** The applied op as a heartbeat last saw it, and since when (Table B, row 5). */
  progress: { readonly applied: number; readonly atUs: number };
  /** Timers that are armed only while there is something to do. */
  armed: Set<string>;

  /** An op that is committed and not durable here, and since when; null: none was seen. */
  diskLag: { readonly op: number; readonly atUs: number } | null;

  /** Writes to the log wait for room on the disk. */
  diskFull: boolean;

  // Read confirmation (Table F), primary.
  nextRound: number;
  startedRound: number;
  /** The round the latest query waits for. */
  wantedRound: number;
  confirmedRound: number;
  /** Latest round echoed, by replica. */
  rounds: number[];
  queries: Map<number, WaitingQuery<S>>;
  querySequence: number;
  /** Queries by the request they come after, `client/session/number`. */
  queriesAfter: Map<string, number[]>;
  /** Queries whose request is applied but whose needed op is not. */
  queriesBehind: Set<number>;
  positionQueries: Map<number, PositionQuery>;

  // Backup.
  /** Greatest heartbeat number seen in this view. */
  heartbeatSeen: number;
  /** Greatest round seen in this view. */
  roundSeen: number;
  /** When a primary was last heard; null: not since the boot. */
  primaryHeardUs: number | null;
  /** When the heartbeat timeout was to fire: a late one says that this replica slept, not that the primary did. */
  heartbeatDueUs: number;
  /** Decaying maximum of the gaps between heartbeats, microseconds. */
  heartbeatGapUs: number;
  /** The view whose primary is being asked for start_view. */
  askingView: number | null;
  askingAttempts: number;

  // View change.
  /** This replica wants to leave `view`. */
  voted: boolean;
  votes: Map<number, Vote>;
  /** Latest do_view_change of this view per replica, own included (pitfall 11). */
  dvcs: Map<number, DoViewChangeMessage>;
  /**
   * collecting: waits for do_view_changes, or for start_view. installing: the superblock write of a new log view
   * is in flight, no slot may change. fetching: new primary, bodies missing. Meaningful in status view-change.
   */
  phase: 'collecting' | 'installing' | 'fetching';
  viewChangeAttempts: number;
  /** What the view-change timer was last set to. */
  viewChangeDelayMs: number;
  /** Something arrived since the view-change timer was set. */
  viewChangeProgress: boolean;

  // Repair.
  /** Applied ops, from `logLow` on, whose slots were found damaged. */
  damaged: Set<number>;
  fetches: Map<number, Fetch>;
  headerFetch: {
    readonly high: number;
    readonly peer: number;
    readonly sentUs: number;
    readonly attempts: number;
  } | null;
  /** Requests in a row that each peer left unanswered, by id. */
  misses: number[];
  reads: Map<string, LogRead>;
  walks: Map<number, HeaderWalk>;

  /** What a scrub found, and peers are asked for. */
  mending: Mending;

  readonly members: Members;
  readonly versions: Versions;

  // State machine.
  /** False while the checkpoint that `applied` belongs to is being read or fetched: nothing is applied or served. */
  stateLoaded: boolean;
  loading: Loading<S> | null;
  syncing: Syncing<S> | null;
  state: S;
  sessions: Map<ClientId, SessionEntry>;
  /** Bytes of the outcomes in `sessions`. At most `sessionTableBytesMax` between two requests. */
  outcomeBytes: number;
  /** Ops up to here were committed before this boot. */
  replayUntil: number;
  /** The newest of the own ones. */
  report: StateReport | null;
  /** What all say of their states, and whether this one is still believed. */
  divergence: Divergence;
  /** Looks for damage to the state in memory, a little at a time. Null: the state machine cannot tell. No part of the state. */
  readonly auditor: StateAuditor<S> | null;
  /** Sessions up to this number have been looked through in this round. Null: the state's turn. */
  auditCursor: number | null;

  // Clock.
  now: number;
  realtime: number;
  samples: Map<number, ClockSample>;

  random: RandomState;
  recovered: RecoveredLog;
  /** Highest op found by the boot's recovery. */
  readonly foundHead: number;
  stopping: boolean;
  stopped: boolean;
  /** When a stopping primary leaves even without having handed over. */
  stopDeadlineUs: number;
  /** Effects of the step that is running. */
  out: Effect[];
  /** The numbers that never go back, as they were when the last step ended. */
  last: { view: number; logView: number; commit: number; checkpoint: number };
}

export interface ReplicaOptions<S> {
  readonly cluster: ClusterId;
  readonly replica: ReplicaId;
  /** With how many the cluster was founded. */
  readonly replicaCount: number;
  readonly hasher: Hasher;
  /** For jitter. Different on every replica. */
  readonly seed: number;
  /** Different at every boot. */
  readonly nonce: string;
  readonly stateMachine: StateMachine<S>;
  /** What the superblock holds. */
  readonly durable: DurableState;
  /** What the log found in its slots. */
  readonly recovered: RecoveredLog;
  readonly timing?: Partial<Timing>;
  /** What it speaks. Left out: the versions of this release. */
  readonly versions?: VersionRange;
  /** Left out: nobody listens. */
  readonly mark?: (name: ReplicaMark) => void;
}

const unheard = (): void => {};

/** A replica that has just booted. Its first event is `start`. */
export function createReplica<S>(options: ReplicaOptions<S>): Replica<S> {
  const { durable, recovered, hasher, cluster, replicaCount } = options;
  const group = durable.membership?.group ?? foundingGroup(replicaCount);
  assert(epochOf(durable.view) === group.epoch, 'the view is of the epoch of the group');
  assert(
    options.replica < (durable.membership === null ? replicaCount : replicasMax),
    'the replica is one of the cluster',
  );
  const unspoken = whyNotSpoken(options.versions ?? ownVersions, durable.versionInForce);
  if (unspoken !== null) throw new Error(unspoken);
  const root = rootHeader(cluster, hasher);
  const { checkpoints, stable, checkpointInterval: interval } = durable;
  // What the state goes on from, and what the log goes back to.
  const from = checkpoints[0]?.header ?? root;
  const base = checkpoints.at(-1)?.header ?? root;
  return {
    cluster,
    self: replicaId(options.replica),
    hasher,
    machine: options.stateMachine,
    timing: { ...defaultTiming, ...options.timing },
    root,
    nonce: options.nonce,
    mark: options.mark ?? unheard,
    status: 'recovering-head',
    view: durable.view,
    group,
    boundary: durable.membership?.boundary ?? null,
    quorums: quorumsOfGroup(group),
    logView: durable.logView,
    head: base.op,
    commit: base.op,
    applied: from.op,
    appliedId: from.id,
    appliedTimestamp: from.timestamp,
    checkpoint: durable.checkpoint,
    checkpointing: createCheckpointing({ interval, refs: checkpoints, stable }),
    suffix: durable.suffix,
    durable,
    flushing: null,
    flushSequence: 0,
    flushWanted: false,
    log: new Map([[base.op as number, { id: base.id, header: base }]]),
    logLow: base.op,
    linkedLow: base.op,
    slots: new Map([[base.op as number, { durable: base.id, writing: null, faulty: false }]]),
    bodies: new Map(),
    unwritten: new Set(),
    stash: new Map(),
    timestamp: from.timestamp,
    acks: new Map(),
    sent: new Map(),
    inherited: 0,
    serving: false,
    queue: [],
    queuedCount: 0,
    queuedBytes: 0,
    admissions: new Map(),
    heartbeatNumber: 0,
    heardUs: Array.from({ length: replicasMax }, () => 0),
    waitingSinceUs: null,
    silent: false,
    progress: { applied: 0, atUs: 0 },
    mending: nothingMended,
    diskLag: null,
    diskFull: false,
    armed: new Set(),
    nextRound: 1,
    startedRound: 0,
    wantedRound: 0,
    confirmedRound: 0,
    rounds: Array.from({ length: replicasMax }, () => 0),
    queries: new Map(),
    querySequence: 0,
    queriesAfter: new Map(),
    queriesBehind: new Set(),
    positionQueries: new Map(),
    heartbeatSeen: 0,
    roundSeen: 0,
    primaryHeardUs: null,
    heartbeatDueUs: 0,
    heartbeatGapUs: 0,
    askingView: null,
    askingAttempts: 0,
    voted: false,
    votes: new Map(),
    dvcs: new Map(),
    phase: 'collecting',
    viewChangeAttempts: 0,
    viewChangeDelayMs: 0,
    viewChangeProgress: false,
    damaged: new Set(),
    fetches: new Map(),
    headerFetch: null,
    misses: Array.from({ length: replicasMax }, () => 0),
    reads: new Map(),
    walks: new Map(),
    members: createMembers(durable.incarnation, group.epoch),
    versions: createVersions(options.versions ?? ownVersions, durable.foundedIn),
    stateLoaded: checkpoints.length === 0 && !durable.replaced && durable.quarantined === 0,
    loading: null,
    syncing: null,
    state: options.stateMachine.initial(),
    sessions: new Map(),
    outcomeBytes: 0,
    replayUntil: 0,
    report: null,
    divergence: createDivergence(durable.quarantined),
    auditor: options.stateMachine.auditor?.() ?? null,
    auditCursor: 0,
    now: 0,
    realtime: 0,
    samples: new Map(),
    random: seedRandom(options.seed),
    recovered,
    foundHead: recovered.head,
    stopping: false,
    stopped: false,
    stopDeadlineUs: 0,
    out: [],
    last: { view: durable.view, logView: durable.logView, commit: 0, checkpoint: durable.checkpoint },
  };
}

export const readClock = <S>(r: Replica<S>, clock: ClockReading): void => {
  // The contract says it never goes back; a host that errs must not make time run backwards here.
  r.now = Math.max(r.now, clock.monotonicUs);
  r.realtime = clock.realtimeUs;
};

/** Of a view of the current epoch; for one of an earlier epoch, whoever begins the current one. */
export const primaryOf = <S>(r: Replica<S>, view: number): ReplicaId =>
  replicaId(primaryIn(r.group, epochOf(view) < r.group.epoch ? r.group.epoch * viewsPerEpoch : view));
export const isVoter = <S>(r: Replica<S>, replica: number = r.self): boolean => r.group.voters.includes(replica);
export const isMember = <S>(r: Replica<S>, replica: number = r.self): boolean => membersOf(r.group).includes(replica);
/** No other replica has a say. */
export const isSoleVoter = <S>(r: Replica<S>): boolean => isVoter(r) && r.group.voters.length === 1;
export const isPrimary = <S>(r: Replica<S>): boolean => primaryOf(r, r.view) === r.self;
export const isNormalPrimary = <S>(r: Replica<S>): boolean => r.status === 'normal' && isPrimary(r);
export const isNormalBackup = <S>(r: Replica<S>): boolean => r.status === 'normal' && !isPrimary(r);
/** The log is that of the current view. */
export const isSettled = <S>(r: Replica<S>): boolean => r.logView === r.view;

export const slotAt = <S>(r: Replica<S>, op: number): Slot => r.slots.get(op) ?? emptySlot;
export const idAt = <S>(r: Replica<S>, op: number): Checksum | null => r.log.get(op)?.id ?? null;
export const headId = <S>(r: Replica<S>): Checksum => {
  const entry = r.log.get(r.head);
  assert(entry !== undefined, 'the head of the log is never blank');
  return entry.id;
};

/** The prepare the log wants at `op` is intact and synced here. */
export const isDurableAt = <S>(r: Replica<S>, op: number): boolean => {
  // Below it nothing is looked at any more, but by a replica that goes back to an earlier state.
  if (op < r.logLow) return !slotAt(r, op).faulty;
  const id = idAt(r, op);
  return id !== null && slotAt(r, op).durable === id;
};

/** The body the log wants at `op`, if it is in memory. */
export const bodyAt = <S>(r: Replica<S>, op: number): Prepare | null => r.bodies.get(op) ?? null;

/** Puts an entry into the log and lets go of a body that no longer belongs there. */
export function setEntry<S>(r: Replica<S>, op: number, id: Checksum, header: PrepareHeader | null): void {
  const body = r.bodies.get(op);
  if (body !== undefined && body.header.id !== id) r.bodies.delete(op);
  if (r.log.get(op)?.id !== id) forgetSystemOp(r, op);
  const found = recognize(r, op, id);
  const known = header ?? (body?.header.id === id ? body.header : found);
  r.log.set(op, { id, header: known });
  if (known !== null) r.timestamp = Math.max(r.timestamp, known.timestamp);
}

/** A blank slot that gets its name, and holds just that prepare: row "wanted, intact" of the slot recovery table. */
function recognize<S>(r: Replica<S>, op: number, id: Checksum): PrepareHeader | null {
  const found = r.slots.get(op)?.found;
  if (found === undefined || found.id !== id) return null;
  r.mark('blank-slot-recognized');
  r.slots.set(op, { ...emptySlot, durable: id });
  return found;
}

/** That prepare is on the disk, whether the log wants it or not. */
export function isOnDisk<S>(r: Replica<S>, op: number, id: Checksum): boolean {
  const { durable, found } = slotAt(r, op);
  return durable === id || found?.id === id;
}

/** Forgets what the log wanted at `op`. What is on disk there stays known. */
export function dropEntry<S>(r: Replica<S>, op: number): void {
  r.log.delete(op);
  r.bodies.delete(op);
  r.unwritten.delete(op);
  r.fetches.delete(op);
  forgetSystemOp(r, op);
}

/** What the op there said of the members holds no more: another takes its place, or none. */
function forgetSystemOp<S>(r: Replica<S>, op: number): void {
  r.members.fences.delete(op);
  r.members.boundaries.delete(op);
}
