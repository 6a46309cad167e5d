import {
  assert,
  type Checksum,
  type ClientId,
  crc32,
  type SessionNumber,
  sessionTableBytesMax,
  sessionsMax,
  sessionWindowMax,
} from '@kimberlite/base';
import type { ClientRequest } from './client.ts';
import type { Replica } from './replica.ts';

// Client sessions (Table G; VR Revisited, section 4, the client table). The table changes only when ops
// are applied (pitfall 6), and keeps every outcome the client may still ask for (pitfall 58).

export interface Outcome {
  readonly checksum: Checksum;
  readonly op: number;
  readonly timestamp: number;
  readonly body: Uint8Array;
  /** Of the rest, when it was made: damage to memory shows. Not part of any checkpoint or message. */
  readonly seal: number;
}

export interface SessionEntry {
  /** The op that registered it. */
  readonly session: SessionNumber;
  /** The lowest request number whose outcome the client may still ask for. Never goes back. */
  floor: number;
  /** Outcomes by request number, all of them `>= floor`. At most W. */
  readonly outcomes: Map<number, Outcome>;
  /** The op that changed this entry last: what eviction goes by. */
  lastOp: number;
  /** The highest request number that was executed. */
  executed: number;
  /** Bytes of `outcomes`. */
  outcomeBytes: number;
  /** Of the numbers above, when they changed last. */
  seal: number;
}

const mix = (hash: number, value: number): number =>
  Math.imul(hash ^ value ^ Math.floor(value / 0x1_0000_0000), 0x9e37_79b1) ^ (hash >>> 15);

const outcomeSeal = ({ op, timestamp, body }: Omit<Outcome, 'seal'>): number => mix(mix(crc32(body), op), timestamp);

export const sealedOutcome = (outcome: Omit<Outcome, 'seal'>): Outcome => ({ ...outcome, seal: outcomeSeal(outcome) });

function sessionSeal({ session, floor, outcomes, lastOp, executed, outcomeBytes }: SessionEntry): number {
  return mix(mix(mix(mix(mix(mix(7, session), floor), outcomes.size), lastOp), executed), outcomeBytes);
}

/** After its numbers were changed. */
export function seal(entry: SessionEntry): void {
  entry.seal = sessionSeal(entry);
}

/** Its numbers are what they were set to. */
export const isIntact = (entry: SessionEntry): boolean => entry.seal === sessionSeal(entry);
export const isOutcomeIntact = (outcome: Outcome): boolean => outcome.seal === outcomeSeal(outcome);

/** What an outcome costs beside its body. */
const outcomeOverheadBytes = 256;
export const sizeOfOutcome = (outcome: Outcome): number => outcome.body.length + outcomeOverheadBytes;

/** What Table G asks about a request. */
export interface SessionFacts {
  readonly register: boolean;
  readonly clientKnown: boolean;
  /** The entry exists and is that of the request's session number. */
  readonly sessionKnown: boolean;
  /** The op that would have registered the session has been applied here (pitfall 57). */
  readonly reached: boolean;
  readonly belowFloor: boolean;
  readonly outcome: 'none' | 'same' | 'other';
  /** In the log above the applied op, or queued. Never so when applying. */
  readonly inFlight: boolean;
  readonly beyondWindow: boolean;
  readonly queueFull: boolean;
}

export type PrimaryAction =
  | 'resend-session'
  | 'ignore'
  | 'admit'
  | 'silence'
  | 'evicted'
  | 'resend-outcome'
  | 'mismatch'
  | 'window-full'
  | 'overloaded';
export type ApplyAction = 'same-session' | 'none' | 'insert' | 'skip-evicted' | 'skip' | 'skip-window-full' | 'run';

export interface SessionRow {
  readonly name: string;
  readonly matches: (f: SessionFacts) => boolean;
  readonly primary: PrimaryAction;
  readonly apply: ApplyAction;
}

/** Table G. The first row that matches decides; the last matches everything. */
export const sessionTable: readonly SessionRow[] = [
  {
    name: 'register, client known',
    matches: (f) => f.register && f.clientKnown,
    primary: 'resend-session',
    apply: 'same-session',
  },
  { name: 'register, in flight', matches: (f) => f.register && f.inFlight, primary: 'ignore', apply: 'none' },
  // A registration too has to find room: nothing grows without a limit.
  { name: 'register, queue full', matches: (f) => f.register && f.queueFull, primary: 'overloaded', apply: 'none' },
  { name: 'register', matches: (f) => f.register, primary: 'admit', apply: 'insert' },
  {
    name: 'no such session, not reached',
    matches: (f) => !f.sessionKnown && !f.reached,
    primary: 'silence',
    apply: 'skip-evicted',
  },
  { name: 'no such session', matches: (f) => !f.sessionKnown, primary: 'evicted', apply: 'skip-evicted' },
  { name: 'below the floor', matches: (f) => f.belowFloor, primary: 'silence', apply: 'skip' },
  { name: 'known outcome', matches: (f) => f.outcome === 'same', primary: 'resend-outcome', apply: 'skip' },
  { name: 'other checksum', matches: (f) => f.outcome === 'other', primary: 'mismatch', apply: 'skip' },
  { name: 'in flight', matches: (f) => f.inFlight, primary: 'ignore', apply: 'none' },
  { name: 'beyond the window', matches: (f) => f.beyondWindow, primary: 'window-full', apply: 'skip-window-full' },
  { name: 'queue full', matches: (f) => f.queueFull, primary: 'overloaded', apply: 'none' },
  { name: 'otherwise', matches: () => true, primary: 'admit', apply: 'run' },
];

export function sessionRow(facts: SessionFacts): SessionRow {
  const row = sessionTable.find((candidate) => candidate.matches(facts));
  assert(row !== undefined, 'the last row of Table G matches everything');
  return row;
}

/** `clientRequest` against the session table; `inFlight` and `queueFull` are the primary's, false when applying. */
export function sessionFacts<S>(
  r: Replica<S>,
  request: ClientRequest,
  primary: { readonly inFlight: boolean; readonly queueFull: boolean },
): SessionFacts {
  const entry = r.sessions.get(request.client);
  const sessionKnown = entry !== undefined && entry.session === request.session;
  // The request's own floor counts at once, as it will when the request is applied.
  const floor = Math.max(sessionKnown ? entry.floor : 0, request.floor);
  const outcome = sessionKnown ? entry.outcomes.get(request.number) : undefined;
  return {
    register: request.session === 0,
    clientKnown: entry !== undefined,
    sessionKnown,
    reached: r.applied >= request.session,
    belowFloor: request.number < floor,
    outcome: outcome === undefined ? 'none' : outcome.checksum === request.checksum ? 'same' : 'other',
    beyondWindow: request.number >= floor + sessionWindowMax,
    ...primary,
  };
}

/** Apply, first step: the client has said which outcomes it no longer wants. */
export function raiseFloor<S>(r: Replica<S>, entry: SessionEntry, floor: number): void {
  if (floor <= entry.floor) return;
  entry.floor = floor;
  for (const [number, outcome] of [...entry.outcomes]) {
    if (number >= floor) continue;
    entry.outcomes.delete(number);
    countBytes(r, entry, -sizeOfOutcome(outcome));
  }
}

function countBytes<S>(r: Replica<S>, entry: SessionEntry, by: number): void {
  entry.outcomeBytes += by;
  r.outcomeBytes += by;
  assert(entry.outcomeBytes >= 0 && r.outcomeBytes >= entry.outcomeBytes, 'bytes of outcomes are counted exactly');
}

function evict<S>(r: Replica<S>, client: ClientId): void {
  const entry = r.sessions.get(client);
  assert(entry !== undefined, 'a session that is evicted is there');
  r.mark('evicted-to-make-room');
  countBytes(r, entry, -entry.outcomeBytes);
  r.sessions.delete(client);
}

/** Keeps the outcome for as long as the client may ask for it; a full table gives up the session that keeps the most. */
export function keepOutcome<S>(r: Replica<S>, entry: SessionEntry, number: number, outcome: Outcome): void {
  const before = entry.outcomes.get(number);
  if (before !== undefined) countBytes(r, entry, -sizeOfOutcome(before));
  entry.outcomes.set(number, outcome);
  entry.executed = Math.max(entry.executed, number);
  countBytes(r, entry, sizeOfOutcome(outcome));
  while (r.outcomeBytes > sessionTableBytesMax) {
    let largest: { client: ClientId; bytes: number } | null = null;
    for (const [client, { outcomeBytes: bytes }] of r.sessions) {
      const more = largest === null || bytes > largest.bytes || (bytes === largest.bytes && client < largest.client);
      if (more) largest = { client, bytes };
    }
    assert(largest !== null, 'bytes belong to a session');
    evict(r, largest.client);
  }
}

/** Inserts a session; a full table first evicts the one with the least last op, then the least client id. */
export function insertSession<S>(r: Replica<S>, client: ClientId, session: SessionNumber): void {
  if (r.sessions.size >= sessionsMax) {
    let victim: { client: ClientId; lastOp: number } | null = null;
    for (const [candidate, { lastOp }] of r.sessions) {
      const less = victim === null || lastOp < victim.lastOp || (lastOp === victim.lastOp && candidate < victim.client);
      if (less) victim = { client: candidate, lastOp };
    }
    if (victim !== null) evict(r, victim.client);
  }
  const numbers = { session, floor: 1, lastOp: session, executed: 0, outcomeBytes: 0, seal: 0 };
  const entry: SessionEntry = { ...numbers, outcomes: new Map() };
  seal(entry);
  r.sessions.set(client, entry);
}
