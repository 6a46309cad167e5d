import { op, seedRandom } from '@kimberlite/base';
import type { Replica } from '@kimberlite/vsr';
import type { CanonicalText } from './canonical-text.ts';
import type { ListState } from './list-machine.ts';
import type { World } from './world.ts';

export type Subject = Replica<ListState>;

/**
 * Time. An exploration would never end if clocks ran, so time stands still: every event is given this reading, and
 * whatever an event stored of it is set back to it afterwards. A handler that acts only on something "long enough ago"
 * is explored by firing its timer with the later reading.
 *
 * Why that loses nothing: the protocol compares times only as `now - then >= some duration`. Messages may take any
 * time and timers may be late by any time, so both answers are possible at every such place; the still clock gives the
 * one, the timer's later clock the other. And it adds nothing: what a step does at the still clock it does on a real
 * one whose events come in quick succession; and a vote that never expires is one that is delivered again, as messages
 * here may be at any time.
 */
export const stillUs = 1_000_000_000;
export const laterUs = 5_000_000;
const realtimeOffsetUs = 1_700_000_000_000_000;

export const stillClock = { monotonicUs: stillUs, realtimeUs: stillUs + realtimeOffsetUs };
export const laterClock = { monotonicUs: stillUs + laterUs, realtimeUs: stillUs + laterUs + realtimeOffsetUs };
/** A peer's wall clock, as its pong tells it: all clocks agree. */
export const peerRealtimeUs = stillClock.realtimeUs;

/** What becomes of one field of a replica in the encoding of its state. */
export type FieldRule =
  /** Decides what the replica does next: it is in the encoding. */
  | { readonly kind: 'state' }
  /** In the encoding, by a text of its own, for its objects change in place. */
  | { readonly kind: 'mutable'; readonly text: (r: Subject, write: CanonicalText) => string }
  /** The same in every replica of an exploration, or a function of fields that are encoded. */
  | { readonly kind: 'same'; readonly why: string }
  /** Set to one value after each event, so that replicas with equal encodings behave equally. */
  | { readonly kind: 'reset'; readonly why: string; readonly reset: Reset }
  /** Parts of it are set to one value after each event; what is left is in the encoding. */
  | { readonly kind: 'reset-partly'; readonly why: string; readonly reset: Reset };

type Reset = (r: Subject, world: World) => void;

const state: FieldRule = { kind: 'state' };
const same = (why: string): FieldRule => ({ kind: 'same', why });
const reset = (why: string, apply: Reset): FieldRule => ({ kind: 'reset', why, reset: apply });
const resetPartly = (why: string, apply: Reset): FieldRule => ({ kind: 'reset-partly', why, reset: apply });

const neverDue = Number.MAX_SAFE_INTEGER;
const jitter = seedRandom(1);
const nothingRecovered: Subject['recovered'] = { slots: [], head: op(0), headCertain: true };

function stand<V>(map: Map<number, V>, set: (item: V) => V): void {
  for (const [key, item] of map) map.set(key, set(item));
}

/** Timers that no world explores: nothing but how soon something is given up depends on them. */
const neverFired = ['abdicate', 'read-round'] as const;

function forgetUnexplored(r: Subject, world: World): void {
  for (const timer of neverFired) r.armed.delete(timer);
  if (!world.resends) r.armed.delete('prepare');
  if (world.repairAttempts === 0) r.armed.delete('repair');
}

/** One write of the superblock is in flight at a time, so its number tells nothing but that it is. */
function renumberFlush(r: Subject): void {
  r.flushSequence = r.flushing === null ? 0 : 1;
  if (r.flushing !== null) r.flushing = { ...r.flushing, sequence: r.flushSequence };
}

/** Every field of a replica, and why it is in the encoding or need not be. A new field does not compile until it is here. */
export const fieldRules: { readonly [Field in keyof Subject]-?: FieldRule } = {
  cluster: same('one cluster'),
  self: state,
  group: same('three replicas, in the first epoch'),
  boundary: same('there is no other epoch'),
  versions: same('all speak one version, so what the others speak is not noted'),
  quorums: same('those of three replicas'),
  hasher: same('one hasher'),
  machine: same('one state machine'),
  timing: same('one timing'),
  mark: same('heard by nobody'),
  root: same('that of the cluster'),
  nonce: state,
  status: state,
  view: state,
  logView: state,
  head: state,
  commit: state,
  applied: state,
  appliedId: state,
  appliedTimestamp: state,
  checkpoint: state,
  checkpointing: resetPartly('none is due in any world, so how far it is to the next one decides nothing', (r) => {
    r.checkpointing.schedule = { op: 0, bytes: 0 };
  }),
  suffix: state,
  durable: state,
  flushing: state,
  flushSequence: resetPartly('one write of the superblock at a time', renumberFlush),
  flushWanted: state,
  log: state,
  logLow: state,
  linkedLow: state,
  slots: state,
  bodies: state,
  unwritten: state,
  stash: state,
  timestamp: state,
  acks: state,
  sent: resetPartly('time: when an op was last sent decides only when it is sent again', (r) =>
    stand(r.sent, () => ({ atUs: stillUs, attempts: 0 })),
  ),
  inherited: state,
  serving: state,
  queue: state,
  queuedCount: state,
  queuedBytes: state,
  admissions: {
    kind: 'mutable',
    text: (r, write) => write.ofMap(r.admissions, (admission) => write.ofMutable(admission)),
  },
  heartbeatNumber: state,
  heardUs: reset('time: read only to fall silent, which no world explores', (r) => void r.heardUs.fill(0)),
  waitingSinceUs: reset('time: read only to fall silent, which no world explores', (r) => {
    r.waitingSinceUs = null;
  }),
  silent: state,
  progress: reset('time: read only to forfeit, which is a vote like those of the other timers', (r) => {
    r.progress = { applied: r.applied, atUs: stillUs };
  }),
  diskLag: reset('time: read only to hand over, which is a vote like those of the other timers', (r) => {
    r.diskLag = null;
  }),
  mending: same('nothing is scrubbed'),
  diskFull: same('every disk has room'),
  armed: resetPartly('timers that the world does not explore are taken out', forgetUnexplored),
  nextRound: state,
  startedRound: state,
  wantedRound: state,
  confirmedRound: state,
  rounds: state,
  queries: state,
  querySequence: state,
  queriesAfter: state,
  queriesBehind: state,
  positionQueries: state,
  heartbeatSeen: state,
  roundSeen: state,
  primaryHeardUs: reset('time: read only to adapt timeouts and to report staleness', (r) => {
    r.primaryHeardUs = null;
  }),
  heartbeatDueUs: reset(
    'time: a timeout that fires late is another chance to vote, and every timeout may fire',
    (r) => {
      r.heartbeatDueUs = neverDue;
    },
  ),
  heartbeatGapUs: reset('time: read only to adapt timeouts', (r) => {
    r.heartbeatGapUs = 0;
  }),
  askingView: state,
  askingAttempts: reset('decides only how long a request is repeated; a message once sent stays deliverable', (r) => {
    r.askingAttempts = 0;
  }),
  voted: state,
  votes: resetPartly('time: a vote that has expired is one that was not delivered yet; who voted is encoded', (r) =>
    stand(r.votes, (vote) => ({ ...vote, receivedUs: stillUs })),
  ),
  dvcs: state,
  phase: state,
  viewChangeAttempts: reset('decides only how long the next view change may take', (r) => {
    r.viewChangeAttempts = 0;
  }),
  viewChangeDelayMs: reset('a duration', (r) => {
    r.viewChangeDelayMs = 0;
  }),
  viewChangeProgress: reset('true only means that the timer has to fire once more', (r) => {
    r.viewChangeProgress = false;
  }),
  damaged: state,
  fetches: resetPartly('time: when it was asked; what was asked of whom, and how often, is encoded', (r) =>
    stand(r.fetches, (fetch) => ({ ...fetch, sentUs: stillUs })),
  ),
  headerFetch: resetPartly('time: when it was asked; what was asked of whom, and how often, is encoded', (r) => {
    if (r.headerFetch !== null) r.headerFetch = { ...r.headerFetch, sentUs: stillUs };
  }),
  misses: state,
  reads: state,
  walks: state,
  members: state,
  stateLoaded: state,
  loading: same('no world has a checkpoint'),
  syncing: same('no world has a checkpoint'),
  state: { kind: 'mutable', text: (r) => r.machine.stateHash(r.state) },
  sessions: { kind: 'mutable', text: (r, write) => write.ofMap(r.sessions, (entry) => write.ofMutable(entry)) },
  outcomeBytes: state,
  replayUntil: reset('marks effects of the state machine as replayed; this one has none', (r) => {
    r.replayUntil = 0;
  }),
  report: state,
  divergence: same('no world has so many ops that a state is reported, and none has checkpoints'),
  auditor: same('the state machine of the worlds has none'),
  auditCursor: same('without an auditor nothing is looked through'),
  now: reset('time', (r) => {
    r.now = stillUs;
  }),
  realtime: reset('time', (r) => {
    r.realtime = stillClock.realtimeUs;
  }),
  samples: reset('the clocks agree, and time stands still', (r) =>
    stand(r.samples, (sample) => ({ ...sample, takenUs: stillUs })),
  ),
  random: reset('jitter: it decides only how long timers run, and every timer may fire at any time', (r) => {
    r.random = { ...jitter };
  }),
  recovered: reset('read by the first event after a boot alone', (r) => {
    r.recovered = nothingRecovered;
  }),
  foundHead: state,
  stopping: state,
  stopped: state,
  stopDeadlineUs: reset('time: nobody is asked to stop', (r) => {
    r.stopDeadlineUs = 0;
  }),
  out: same('empty between two events'),
  last: same('a copy of view, log view, commit and checkpoint between two events'),
};

/** Names of the fields, in order. */
export const replicaFields = Object.keys(fieldRules).sort() as readonly (keyof Subject)[];

const resets = replicaFields.flatMap((field) => {
  const rule = fieldRules[field];
  return 'reset' in rule ? [rule.reset] : [];
});

/** Fields of a replica that are encoded, in order, and how. */
const encoded: readonly (readonly [keyof Subject, (r: Subject, write: CanonicalText) => string])[] =
  replicaFields.flatMap((field) => {
    const rule = fieldRules[field];
    if (rule.kind === 'mutable') return [[field, rule.text] as const];
    if (rule.kind === 'same' || rule.kind === 'reset') return [];
    return [[field, (r: Subject, write: CanonicalText) => write.of(r[field])] as const];
  });

/** Sets every field that only tells of time or jitter to its one value. */
export function standStill(r: Subject, world: World): void {
  for (const apply of resets) apply(r, world);
}

export function replicaText(r: Subject, write: CanonicalText): string {
  let text = '';
  for (const [field, of] of encoded) text += `${field}=${of(r, write)}`;
  return text;
}
