import {
  assert,
  checkpointPartBytes,
  checkpointPartsMax,
  type Checksum,
  concatBytes,
  decodePrepare,
  decodePrepareHeader,
  encodePrepareHeader,
  encodeUtf8,
  decodeUtf8,
  FixedReader,
  FixedWriter,
  type Hasher,
  ok,
  type Op,
  type Prepare,
  type PrepareHeader,
  prepareHeaderBytes,
  type ReplicaId,
  type Result,
  replicasMax,
  type Timestamp,
  unreachable,
  type View,
} from '@kimberlite/base';
import {
  type CheckpointMark,
  type CheckpointOffer,
  encodeMembership,
  type Membership,
  type Message,
  type MessageType,
  readMembership,
  reportsMax,
  type StateReport,
  type SuffixMark,
} from '@kimberlite/vsr';
import { frameHeaderBytes } from './frame.ts';
import { headersPerMessageMax, peerTextBytesMax } from './limits.ts';
import { type WireError, wireError } from './wire-error.ts';

// Messages between replicas, in fixed binary: they are few, hot, and their fields are numbers and checksums.
// A prepare travels as the very bytes it is stored as (pitfall 66).

const codes: { readonly [Type in MessageType]: number } = {
  prepare: 1,
  'prepare-ok': 2,
  heartbeat: 3,
  'heartbeat-ok': 4,
  ping: 5,
  pong: 6,
  'start-view-change': 7,
  'do-view-change': 8,
  'start-view': 9,
  'request-start-view': 10,
  'request-headers': 11,
  headers: 12,
  'request-prepare': 13,
  'repair-prepare': 14,
  'request-checkpoint': 15,
  'checkpoint-offer': 16,
  'request-checkpoint-part': 17,
  'checkpoint-part': 18,
  'new-epoch': 19,
};
const typeOfCode = new Map(Object.entries(codes).map(([type, code]) => [code, type as MessageType]));

/** A checkpoint in an offer: stable u8 · content u64 · checksum 16 · header. */
const offerBytes = 1 + 8 + 16 + prepareHeaderBytes;

/** A report of a state: flag u8 · op u64 · hash, a text · sessions 16. */
const reportBytesMax = 1 + 8 + 1 + peerTextBytesMax + 16;

/** Type u8, sender u8, its incarnation u32, and the fixed fields of the longest message. */
const fixedBytesMax = 160;

function encodeText(writer: FixedWriter, text: string): void {
  const bytes = encodeUtf8(text);
  assert(bytes.length <= peerTextBytesMax, 'a text field of a peer message is within its bound');
  writer.u8(bytes.length).raw(bytes);
}

function encodeReport(writer: FixedWriter, report: StateReport | null): void {
  writer.u8(report === null ? 0 : 1);
  if (report === null) return;
  writer.u64(report.op);
  encodeText(writer, report.hash);
  writer.hex128(report.sessions);
}

function encodeReports(reports: readonly StateReport[]): Uint8Array {
  assert(reports.length <= reportsMax, 'the reports of one message are within their bound');
  const writer = new FixedWriter(1 + reports.length * reportBytesMax);
  writer.u8(reports.length);
  for (const report of reports) encodeReport(writer, report);
  return writer.bytes.subarray(0, writer.offset);
}

function encodeCheckpointMark(writer: FixedWriter, mark: CheckpointMark | null): void {
  writer.u8(mark === null ? 0 : 1);
  if (mark !== null) writer.u64(mark.op).hex128(mark.checksum);
}

function encodeOffer({ ref, stable }: CheckpointOffer): Uint8Array {
  const writer = new FixedWriter(offerBytes);
  writer
    .u8(stable ? 1 : 0)
    .u64(ref.contentBytes)
    .hex128(ref.checksum)
    .raw(encodePrepareHeader(ref.header));
  return writer.bytes;
}

function encodeMark(mark: SuffixMark): Uint8Array {
  const writer = new FixedWriter(32 + prepareHeaderBytes);
  const flags =
    (mark.present ? 1 : 0) | (mark.nack ? 2 : 0) | (mark.id === null ? 0 : 4) | (mark.header === null ? 0 : 8);
  writer.u64(mark.op).u8(flags);
  if (mark.id !== null) writer.hex128(mark.id);
  if (mark.header !== null) writer.raw(encodePrepareHeader(mark.header));
  return writer.bytes.subarray(0, writer.offset);
}

/** The fixed part, and the bytes that follow it. */
function encodeParts(message: Message, writer: FixedWriter): readonly Uint8Array[] {
  switch (message.type) {
    case 'prepare':
      writer.u64(message.view).u64(message.commit).u64(message.round);
      return [message.prepare.bytes];
    case 'prepare-ok':
      writer.u64(message.view).u64(message.op).hex128(message.id).u64(message.round).u64(message.checkpoint);
      encodeReport(writer, message.report);
      return [];
    case 'heartbeat':
      writer.u64(message.view).u64(message.number).u64(message.commit).u64(message.round).u64(message.trimmed);
      encodeReport(writer, message.report);
      encodeCheckpointMark(writer, message.stable);
      return [];
    case 'heartbeat-ok':
      writer.u64(message.view).u64(message.number).u64(message.round).u64(message.commit).u64(message.applied);
      writer.u16(message.newest);
      encodeReport(writer, message.report);
      encodeCheckpointMark(writer, message.checkpoint);
      return [];
    case 'ping':
      writer.u64(message.sentAtUs);
      encodeCheckpointMark(writer, message.checkpoint);
      return [encodeReports(message.reports)];
    case 'pong':
      writer.u64(message.sentAtUs).u64(message.realtimeUs);
      return [];
    case 'start-view-change':
      writer.u64(message.view);
      return [];
    case 'do-view-change':
      writer.u64(message.view).u64(message.logView).u64(message.commit).u64(message.checkpoint);
      writer.u64(message.head).u64(message.timestamp).u16(message.suffix.length);
      return message.suffix.map(encodeMark);
    case 'start-view':
      writer.u64(message.view).u64(message.commit).u64(message.checkpoint);
      encodeText(writer, message.nonce);
      writer.u16(message.suffix.length);
      return message.suffix.map(encodePrepareHeader);
    case 'request-start-view':
      writer.u64(message.view);
      encodeText(writer, message.nonce);
      return [];
    case 'request-headers':
      writer.u64(message.low).u64(message.high).hex128(message.highId);
      return [];
    case 'headers':
      writer.u16(message.headers.length);
      return message.headers.map(encodePrepareHeader);
    case 'request-prepare':
      writer.u64(message.op).hex128(message.id);
      return [];
    case 'repair-prepare':
      return [message.prepare.bytes];
    case 'request-checkpoint':
      return [];
    case 'checkpoint-offer':
      writer.u8(message.offers.length);
      return message.offers.map(encodeOffer);
    case 'request-checkpoint-part':
      writer.hex128(message.checksum).u32(message.part);
      return [];
    case 'checkpoint-part':
      writer
        .hex128(message.checksum)
        .u32(message.part)
        .u8(message.bytes === null ? 0 : 1);
      return message.bytes === null ? [] : [message.bytes];
    case 'new-epoch':
      return [encodeMembership(message.membership)];
    default:
      return unreachable(message);
  }
}

/** The message behind room for a frame header. */
export function encodePeerBody(message: Message, incarnation: number): Uint8Array {
  const writer = new FixedWriter(fixedBytesMax + peerTextBytesMax);
  writer.u8(codes[message.type]).u8(message.from).u32(incarnation);
  const parts = encodeParts(message, writer);
  assert(parts.length <= headersPerMessageMax, 'a message lists no more headers than its bound');
  return concatBytes([new Uint8Array(frameHeaderBytes), writer.bytes.subarray(0, writer.offset), ...parts]);
}

/** Reads one message. A field that cannot be what it should makes `failed` true, checked once at the end. */
class MessageReader {
  readonly fields: FixedReader;
  private readonly hasher: Hasher;
  failure: string | null = null;

  constructor(bytes: Uint8Array, hasher: Hasher) {
    this.fields = new FixedReader(bytes);
    this.hasher = hasher;
  }

  fail(what: string): void {
    this.failure ??= what;
  }
  from(): ReplicaId {
    const from = this.fields.u8();
    if (from >= replicasMax) this.fail(`sender ${from} is no replica`);
    return from as ReplicaId;
  }
  view(): View {
    return this.fields.u64() as View;
  }
  op(): Op {
    return this.fields.u64() as Op;
  }
  id(): Checksum {
    return this.fields.hex128() as Checksum;
  }
  text(): string {
    const text = decodeUtf8(this.fields.raw(this.fields.u8()));
    if (text === undefined) this.fail('a text field is not UTF-8');
    return text ?? '';
  }
  report(): StateReport | null {
    const flag = this.fields.u8();
    if (flag > 1) this.fail('a flag is neither 0 nor 1');
    if (flag !== 1) return null;
    return { op: this.op(), hash: this.text(), sessions: this.id() };
  }
  reports(): StateReport[] {
    const count = this.fields.u8();
    const reports: StateReport[] = [];
    if (count > reportsMax) this.fail('more reports than a message has');
    for (let i = 0; i < count && this.failure === null && !this.fields.failed; i++) {
      const report = this.report();
      if (report !== null) reports.push(report);
      else this.fail('a report that is none');
    }
    return reports;
  }
  checkpointMark(): CheckpointMark | null {
    const flag = this.fields.u8();
    if (flag > 1) this.fail('a flag is neither 0 nor 1');
    return flag === 1 ? { op: this.op(), checksum: this.id() } : null;
  }
  offers(): CheckpointOffer[] {
    const count = this.fields.u8();
    const offers: CheckpointOffer[] = [];
    if (count * offerBytes !== this.fields.remaining)
      this.fail('the list of checkpoints has another length than it says');
    for (let i = 0; i < count && this.failure === null; i++) {
      const flag = this.fields.u8();
      if (flag > 1) this.fail('a flag is neither 0 nor 1');
      const [contentBytes, checksum, header] = [this.fields.u64(), this.id(), this.header()];
      if (contentBytes > checkpointPartBytes * checkpointPartsMax) this.fail('a checkpoint beyond its bound');
      if (header !== null) offers.push({ ref: { header, contentBytes, checksum }, stable: flag === 1 });
    }
    return offers;
  }
  part(): number {
    const part = this.fields.u32();
    if (part > checkpointPartsMax) this.fail('a part beyond its bound');
    return part;
  }
  /** The rest of the message, copied out of the frame; null where it says that there is nothing. */
  partBytes(): Uint8Array | null {
    const flag = this.fields.u8();
    if (flag > 1) this.fail('a flag is neither 0 nor 1');
    return flag === 1 ? new Uint8Array(this.fields.raw(this.fields.remaining)) : null;
  }
  /** The rest of the message as a prepare, copied out of the frame. */
  prepare(): Prepare | null {
    const decoded = decodePrepare(new Uint8Array(this.fields.raw(this.fields.remaining)), this.hasher);
    if (decoded.ok) return decoded.value;
    this.fail(`the prepare is not intact: ${decoded.error}`);
    return null;
  }
  header(): PrepareHeader | null {
    const decoded = decodePrepareHeader(this.fields.raw(prepareHeaderBytes), this.hasher);
    if (decoded.ok) return decoded.value;
    this.fail(`a header is not intact: ${decoded.error}`);
    return null;
  }
  membership(): Membership | null {
    const membership = readMembership(this.fields);
    if (membership.ok) return membership.value;
    this.fail(membership.error);
    return null;
  }
  headers(): PrepareHeader[] {
    const count = this.fields.u16();
    const headers: PrepareHeader[] = [];
    if (count > headersPerMessageMax || count * prepareHeaderBytes !== this.fields.remaining) {
      this.fail('the list of headers has another length than it says');
      return headers;
    }
    for (let i = 0; i < count; i++) {
      const header = this.header();
      if (header === null) break;
      headers.push(header);
    }
    return headers;
  }
  marks(): SuffixMark[] {
    const count = this.fields.u16();
    const marks: SuffixMark[] = [];
    if (count > headersPerMessageMax) this.fail('the suffix is longer than its bound');
    for (let i = 0; i < count && this.failure === null && !this.fields.failed; i++) {
      const op = this.op();
      const flags = this.fields.u8();
      if (flags > 15) this.fail('unknown flags in a suffix mark');
      const id = (flags & 4) === 0 ? null : this.id();
      const header = (flags & 8) === 0 ? null : this.header();
      if (header !== null && (header.id !== id || header.op !== op)) this.fail('a suffix mark names another header');
      marks.push({ op, id, header, present: (flags & 1) !== 0, nack: (flags & 2) !== 0 });
    }
    return marks;
  }
}

function decodeFields(type: MessageType, from: ReplicaId, reader: MessageReader): Message | null {
  const { fields } = reader;
  switch (type) {
    case 'prepare': {
      const [view, commit, round] = [reader.view(), reader.op(), fields.u64()];
      const prepare = reader.prepare();
      return prepare === null ? null : { type, from, view, commit, round, prepare };
    }
    case 'prepare-ok': {
      const [view, op, id, round, checkpoint] = [reader.view(), reader.op(), reader.id(), fields.u64(), reader.op()];
      return { type, from, view, op, id, round, checkpoint, report: reader.report() };
    }
    case 'heartbeat': {
      const [view, number, commit, round] = [reader.view(), fields.u64(), reader.op(), fields.u64()];
      const trimmed = reader.op();
      const report = reader.report();
      return { type, from, view, number, commit, round, trimmed, report, stable: reader.checkpointMark() };
    }
    case 'heartbeat-ok': {
      const [view, number, round] = [reader.view(), fields.u64(), fields.u64()];
      const [commit, applied, newest] = [reader.op(), reader.op(), fields.u16()];
      const report = reader.report();
      const checkpoint = reader.checkpointMark();
      return { type, from, view, number, round, commit, applied, newest, report, checkpoint };
    }
    case 'ping':
      return { type, from, sentAtUs: fields.u64(), checkpoint: reader.checkpointMark(), reports: reader.reports() };
    case 'pong': {
      const [sentAtUs, realtimeUs] = [fields.u64(), fields.u64()];
      return { type, from, sentAtUs, realtimeUs };
    }
    case 'start-view-change':
      return { type, from, view: reader.view() };
    case 'do-view-change': {
      const [view, logView, commit, checkpoint, head] = [
        reader.view(),
        reader.view(),
        reader.op(),
        reader.op(),
        reader.op(),
      ];
      const timestamp = fields.u64() as Timestamp;
      return { type, from, view, logView, commit, checkpoint, head, timestamp, suffix: reader.marks() };
    }
    case 'start-view': {
      const [view, commit, checkpoint, nonce] = [reader.view(), reader.op(), reader.op(), reader.text()];
      return { type, from, view, commit, checkpoint, nonce, suffix: reader.headers() };
    }
    case 'request-start-view': {
      const [view, nonce] = [reader.view(), reader.text()];
      return { type, from, view, nonce };
    }
    case 'request-headers': {
      const [low, high, highId] = [reader.op(), reader.op(), reader.id()];
      return { type, from, low, high, highId };
    }
    case 'headers':
      return { type, from, headers: reader.headers() };
    case 'request-prepare': {
      const [op, id] = [reader.op(), reader.id()];
      return { type, from, op, id };
    }
    case 'repair-prepare': {
      const prepare = reader.prepare();
      return prepare === null ? null : { type, from, prepare };
    }
    case 'request-checkpoint':
      return { type, from };
    case 'checkpoint-offer':
      return { type, from, offers: reader.offers() };
    case 'request-checkpoint-part': {
      const [checksum, part] = [reader.id(), reader.part()];
      return { type, from, checksum, part };
    }
    case 'checkpoint-part': {
      const [checksum, part] = [reader.id(), reader.part()];
      return { type, from, checksum, part, bytes: reader.partBytes() };
    }
    case 'new-epoch': {
      const membership = reader.membership();
      return membership === null ? null : { type, from, membership };
    }
    default:
      return unreachable(type);
  }
}

/** Of the sender, out of the body of an intact frame. */
export const incarnationOfBody = (body: Uint8Array): number => new FixedReader(body, 2).u32();

/** Checks every field, every header's checksum and every prepare's id and body. Never throws. */
export function decodePeerBody(body: Uint8Array, hasher: Hasher): Result<Message, WireError> {
  const reader = new MessageReader(body, hasher);
  const type = typeOfCode.get(reader.fields.u8());
  if (type === undefined) return wireError('shape', 'a message of an unknown type');
  const from = reader.from();
  // Read by whoever asks `incarnationOfBody`.
  reader.fields.u32();
  const message = decodeFields(type, from, reader);
  if (reader.failure !== null) return wireError('shape', `${type}: ${reader.failure}`);
  if (reader.fields.failed) return wireError('shape', `${type}: it ends early, or a number is out of range`);
  if (reader.fields.remaining !== 0) return wireError('shape', `${type}: bytes follow the message`);
  assert(message !== null, 'a message without a failure is there');
  return ok(message);
}
