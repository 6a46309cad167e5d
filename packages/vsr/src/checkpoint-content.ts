import {
  type Checksum,
  type ClientId,
  compareText,
  concatBytes,
  err,
  FixedReader,
  FixedWriter,
  ok,
  replicasMax,
  replyBytesMax,
  type Result,
  type SessionNumber,
  sessionsMax,
  sessionWindowMax,
} from '@kimberlite/base';
import { encodeMembership, type Membership, readMembership } from './group.ts';
import { seal, sealedOutcome, type SessionEntry, sizeOfOutcome } from './sessions.ts';
import type { StateDecoder, StateMachine } from './state-machine.ts';
import { firstVersion, isInForce } from './version.ts';

// What a checkpoint holds: what every replica derives from the log alike, as one stream of canonical bytes.
// Little-endian: form u32 · schedule (op u64, bytes u64) · living: six times u32 ·
// membership length u32 (0: the founding group), membership as in group.ts · sessions u32, then by client
//   client 16 · session u64 · floor u64 · last op u64 · executed u64 · outcomes u32, then by request number
//     number u64 · checksum 16 · op u64 · timestamp u64 · length u32 · body;
// then the state machine's own bytes to the end.
//
// In form 3 the version in force, u32, stands behind the form: it is written where that version has the feature, so
// that nodes of different releases make the same bytes.

/** Where the next regular checkpoint falls: counted from the last one, so that an extra one does not move it. */
export interface CheckpointSchedule {
  /** Op of the last regular checkpoint; 0 for none. */
  readonly op: number;
  /** Bytes of the bodies applied since. */
  readonly bytes: number;
}

/** All that a checkpoint is made of. Immutable. */
export interface CheckpointContent<S> {
  readonly state: S;
  readonly sessions: ReadonlyMap<ClientId, SessionEntry>;
  readonly schedule: CheckpointSchedule;
  /** By replica, of as many as a cluster may have: the lowest incarnation that may speak. */
  readonly living: readonly number[];
  /** The group, as the log up to here says. Null: as founded. */
  readonly membership: Membership | null;
  /** The protocol version in force, as the log up to here says. */
  readonly inForce: number;
}

/** 1 had no membership, 2 no version: that was the first one. */
const forms: readonly number[] = [1, 2, 3];
const headBytes = 4 + 8 + 8 + replicasMax * 4;
const membershipBytesMax = 4096;
const sessionBytes = 16 + 8 * 4 + 4;
const outcomeHeadBytes = 8 + 16 + 8 + 8 + 4;
/** Pieces are gathered to about this size. */
const pieceBytes = 65_536;

/** A copy that later ops do not touch: entries change in place, outcomes never do. */
export const copySessions = (sessions: ReadonlyMap<ClientId, SessionEntry>): Map<ClientId, SessionEntry> =>
  new Map([...sessions].map(([client, entry]) => [client, { ...entry, outcomes: new Map(entry.outcomes) }]));

function* sessionPieces(sessions: ReadonlyMap<ClientId, SessionEntry>): Generator<Uint8Array> {
  for (const [client, entry] of [...sessions].sort(([a], [b]) => compareText(a, b))) {
    const { session, floor, lastOp, executed, outcomes } = entry;
    const writer = new FixedWriter(sessionBytes);
    writer.hex128(client).u64(session).u64(floor).u64(lastOp).u64(executed).u32(outcomes.size);
    yield writer.bytes;
    for (const [number, { checksum, op, timestamp, body }] of [...outcomes].sort(([a], [b]) => a - b)) {
      const head = new FixedWriter(outcomeHeadBytes);
      head.u64(number).hex128(checksum).u64(op).u64(timestamp).u32(body.length);
      yield head.bytes;
      yield body;
    }
  }
}

function* gathered(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < pieceBytes) continue;
    yield concatBytes(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield concatBytes(waiting);
}

/** The bytes of a checkpoint, drawn lazily: equal contents give equal bytes. */
export function* encodeContent<S>(content: CheckpointContent<S>, machine: StateMachine<S>): Generator<Uint8Array> {
  const { schedule, sessions, state, living, inForce } = content;
  const saysVersion = isInForce('version-in-checkpoints', inForce);
  const membership = content.membership === null ? new Uint8Array(0) : encodeMembership(content.membership);
  const head = new FixedWriter(headBytes + (saysVersion ? 4 : 0) + 4 + membership.length + 4);
  head.u32(saysVersion ? 3 : 2);
  if (saysVersion) head.u32(inForce);
  head.u64(schedule.op).u64(schedule.bytes);
  for (let replica = 0; replica < replicasMax; replica++) head.u32(living[replica] ?? 0);
  head.u32(membership.length).raw(membership).u32(sessions.size);
  yield head.bytes;
  yield* gathered(sessionPieces(sessions));
  yield* machine.encode(state);
}

interface SessionRead {
  readonly client: ClientId;
  readonly entry: SessionEntry;
  /** Outcomes still to come. */
  left: number;
}

/** Gives a content back, from pieces of any size. Total. */
export class ContentDecoder<S> {
  private readonly states: StateDecoder<S>;
  private rest: Uint8Array = new Uint8Array(0);
  private schedule: CheckpointSchedule | null = null;
  private living: readonly number[] = [];
  private membership: Membership | null = null;
  private inForce: number = firstVersion;
  private readonly sessions = new Map<ClientId, SessionEntry>();
  private sessionsLeft = 0;
  private current: SessionRead | null = null;

  constructor(machine: StateMachine<S>) {
    this.states = machine.decoder();
  }

  push(piece: Uint8Array): Result<void, string> {
    if (this.isPastSessions) return this.states.push(piece);
    this.rest = this.rest.length === 0 ? piece : concatBytes([this.rest, piece]);
    for (;;) {
      const taken = this.takeOne();
      if (!taken.ok) return taken;
      if (this.isPastSessions) break;
      if (taken.value === 0) return ok(undefined);
    }
    const { rest } = this;
    this.rest = new Uint8Array(0);
    return rest.length === 0 ? ok(undefined) : this.states.push(rest);
  }

  finish(): Result<CheckpointContent<S>, string> {
    const { schedule, sessions, living, membership, inForce } = this;
    if (schedule === null || !this.isPastSessions) return err('it ends within the sessions');
    const state = this.states.finish();
    return state.ok ? ok({ state: state.value, sessions, schedule, living, membership, inForce }) : state;
  }

  private get isPastSessions(): boolean {
    return this.schedule !== null && this.sessionsLeft === 0 && this.current === null;
  }

  /** One head, session or outcome off `rest`; bytes taken, 0 when it is not all here. */
  private takeOne(): Result<number, string> {
    const reader = new FixedReader(this.rest);
    const read =
      this.schedule === null
        ? this.readHead(reader)
        : this.current === null
          ? this.readSession(reader)
          : this.readOutcome(reader, this.current);
    if (read !== null) return err(read);
    if (reader.failed) return ok(0);
    const taken = reader.offset;
    this.rest = this.rest.subarray(taken);
    return ok(taken);
  }

  private readHead(reader: FixedReader): string | null {
    if (reader.remaining < headBytes + 8) return this.wait(reader);
    const form = reader.u32();
    if (!forms.includes(form)) return 'its content is of a newer release';
    if (form === 3) this.inForce = reader.u32();
    const [op, bytes] = [reader.u64(), reader.u64()];
    const living = Array.from({ length: replicasMax }, () => reader.u32());
    const membershipBytes = form === 1 ? 0 : reader.u32();
    if (membershipBytes > membershipBytesMax) return 'its membership is out of bounds';
    if (reader.remaining < membershipBytes + 4) return this.wait(reader);
    if (membershipBytes > 0) {
      const membership = readMembership(new FixedReader(reader.raw(membershipBytes)));
      if (!membership.ok) return membership.error;
      this.membership = membership.value;
    }
    const count = reader.u32();
    if (reader.failed || count > sessionsMax) return 'its head is out of bounds';
    this.schedule = { op, bytes };
    this.living = living;
    this.sessionsLeft = count;
    return null;
  }

  private readSession(reader: FixedReader): string | null {
    if (reader.remaining < sessionBytes) return this.wait(reader);
    const client = reader.hex128() as ClientId;
    const session = reader.u64() as SessionNumber;
    const [floor, lastOp, executed, left] = [reader.u64(), reader.u64(), reader.u64(), reader.u32()];
    if (reader.failed || left > sessionWindowMax || this.sessions.has(client)) return 'a session is out of bounds';
    const entry: SessionEntry = { session, floor, outcomes: new Map(), lastOp, executed, outcomeBytes: 0, seal: 0 };
    seal(entry);
    this.sessions.set(client, entry);
    this.sessionsLeft -= 1;
    this.current = left === 0 ? null : { client, entry, left };
    return null;
  }

  private readOutcome(reader: FixedReader, current: SessionRead): string | null {
    if (reader.remaining < outcomeHeadBytes) return this.wait(reader);
    const number = reader.u64();
    const checksum = reader.hex128() as Checksum;
    const [op, timestamp, length] = [reader.u64(), reader.u64(), reader.u32()];
    const { entry } = current;
    if (reader.failed || length > replyBytesMax || number < entry.floor || entry.outcomes.has(number)) {
      return 'an outcome is out of bounds';
    }
    if (reader.remaining < length) return this.wait(reader);
    const outcome = sealedOutcome({ checksum, op, timestamp, body: reader.raw(length).slice() });
    entry.outcomes.set(number, outcome);
    entry.outcomeBytes += sizeOfOutcome(outcome);
    seal(entry);
    current.left -= 1;
    if (current.left === 0) this.current = null;
    return null;
  }

  /** Marks the reader as short: the rest comes with the next piece. */
  private wait(reader: FixedReader): null {
    reader.raw(reader.remaining + 1);
    return null;
  }
}
