import {
  bytesEqual,
  type Checksum,
  decodePrepare,
  encodePrepareHeader,
  FixedReader,
  type PrepareHeader,
  prepareHeaderBytes,
} from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { type Checker, describeHeader, type Fail, type World } from './checker.ts';
import type { Groups } from './groups.ts';
import type { SegmentRecord } from './platters.ts';

/** A prepare that was seen in a message or on a disk. `bytes` are null while only its header was. */
export interface KnownPrepare {
  readonly header: PrepareHeader;
  bytes: Uint8Array | null;
}

/** Where an encoded header has the parent's id; op and view are before it, the timestamp behind. */
const parentAt = 56;
const none: readonly KnownPrepare[] = [];
const bodiless: readonly PrepareHeader[] = [];

/** Headers a message carries without their bodies. */
function headersOf(message: Message): readonly PrepareHeader[] {
  switch (message.type) {
    case 'start-view':
      return message.suffix;
    case 'headers':
      return message.headers;
    case 'do-view-change':
      return message.suffix.flatMap((mark) => (mark.header === null ? [] : [mark.header]));
    default:
      return bodiless;
  }
}

/** The bytes say what the header says; the checksums are compared elsewhere. */
function isHeaderOf(header: PrepareHeader, bytes: Uint8Array): boolean {
  const reader = new FixedReader(bytes, parentAt - 16);
  const [op, view] = [reader.u64(), reader.u64()];
  const sameParent = reader.hex128() === header.parent;
  return op === header.op && view === header.view && sameParent && reader.u64() === header.timestamp;
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  for (let i = 0; i < start.length; i++) if (bytes[i] !== start[i]) return false;
  return true;
}

function push<Key>(map: Map<Key, KnownPrepare[]>, key: Key, known: KnownPrepare): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [known]);
  else list.push(known);
}

/**
 * Every prepare there ever was, whoever spoke of it. At most one per (view, op), over all messages and all disks; made
 * by the primary of its view alone; sent under one view, one per op, since what a view inherits keeps its header; and each id is what it says: the checksum of those very header bytes, and through
 * them of the body (pitfalls 10, 66).
 */
export class Prepares {
  readonly checker: Checker;
  private readonly world: World;
  private readonly groups: Groups;
  private readonly fail: Fail;
  private readonly byId = new Map<Checksum, KnownPrepare>();
  private readonly byOp = new Map<number, KnownPrepare[]>();
  private readonly byParent = new Map<Checksum, KnownPrepare[]>();
  /** By op: what its latest view has there, by what that view's primary sent. */
  private readonly inView = new Map<number, { readonly view: number; readonly id: Checksum }>();
  private readonly listeners: ((known: KnownPrepare) => void)[] = [];

  constructor(world: World, groups: Groups, fail: Fail) {
    this.world = world;
    this.groups = groups;
    this.fail = fail;
    this.checker = {
      name: 'one-prepare-per-view',
      sentTypes: ['prepare', 'repair-prepare', 'headers', 'do-view-change', 'start-view'],
      sent: (replica, message) => this.onSent(replica, message),
      recorded: (replica, record) => this.onRecord(replica, record),
    };
  }

  get(id: Checksum): KnownPrepare | undefined {
    return this.byId.get(id);
  }

  /** All prepares for one op: more than one where a view change undid some. */
  at(op: number): readonly KnownPrepare[] {
    return this.byOp.get(op) ?? none;
  }

  /** All prepares that name `id` as the one before them. */
  after(id: Checksum): readonly KnownPrepare[] {
    return this.byParent.get(id) ?? none;
  }

  /** Called once for each prepare, when it is first seen. */
  onNew(listener: (known: KnownPrepare) => void): void {
    this.listeners.push(listener);
  }

  private onSent(replica: number, message: Message): void {
    const where = `from replica ${replica}`;
    if (message.type === 'start-view') for (const header of message.suffix) this.checkInView(message.view, header);
    if (message.type === 'prepare') this.checkInView(message.view, message.prepare.header);
    if (message.type !== 'prepare' && message.type !== 'repair-prepare') {
      for (const header of headersOf(message)) this.see(header, null, where);
      return;
    }
    const { header, bytes } = message.prepare;
    this.see(header, bytes, where);
    const isNew = message.type === 'prepare' && header.view === message.view;
    if (!isNew || this.groups.primaryOf(header.view) === replica) return;
    this.fail('one-prepare-per-view', `replica ${replica}, not the primary of it, sends ${describeHeader(header)}`);
  }

  /** A view has one prepare per op, made in it or inherited as it was (pitfall 66). */
  private checkInView(view: number, header: PrepareHeader): void {
    const { op, id } = header;
    const known = this.inView.get(op);
    if (known === undefined || known.view < view) this.inView.set(op, { view, id });
    else if (known.view === view && known.id !== id) {
      this.fail(
        'one-prepare-per-view',
        `view ${view} has ${known.id} at op ${op}, and sends ${describeHeader(header)}`,
      );
    }
  }

  private onRecord(replica: number, { op, id, prepare }: SegmentRecord): void {
    // What is written under a known id is compared when it is acknowledged.
    if (this.at(op).some(({ bytes }) => bytes !== null && startsWith(bytes, id))) return;
    const where = `on the disk of replica ${replica}`;
    const decoded = decodePrepare(prepare, this.world.hasher);
    if (decoded.ok) this.see(decoded.value.header, prepare, where);
    else this.fail('identity', `op ${op} ${where} is written damaged: ${decoded.error}`);
  }

  private see(header: PrepareHeader, bytes: Uint8Array | null, where: string): void {
    const known = this.byId.get(header.id);
    if (known === undefined) return this.add(header, bytes, where);
    if (bytes === null || bytes === known.bytes) return;
    if (known.bytes === null) {
      this.checkIdentity(header, bytes, where);
      known.bytes = bytes;
    } else if (!bytesEqual(known.bytes, bytes)) {
      this.fail('identity', `${describeHeader(header)} has other bytes ${where} than before`);
    }
  }

  private add(header: PrepareHeader, bytes: Uint8Array | null, where: string): void {
    this.checkIdentity(header, bytes, where);
    const { op, view, id } = header;
    for (const { header: other } of this.at(op)) {
      if (other.view !== view) continue;
      this.fail('one-prepare-per-view', `op ${op} of view ${view} is ${other.id} and, ${where}, ${id}`);
    }
    const known = { header, bytes };
    this.byId.set(id, known);
    push(this.byOp, op, known);
    push(this.byParent, header.parent, known);
    for (const listener of this.listeners) listener(known);
  }

  private checkIdentity(header: PrepareHeader, bytes: Uint8Array | null, where: string): void {
    const { hasher } = this.world;
    const what = (): string => `${describeHeader(header)} ${where}`;
    const encoded = bytes ?? encodePrepareHeader(header);
    const is = hasher(encoded.subarray(16, prepareHeaderBytes));
    if (is !== header.id) this.fail('identity', `${what()} has the checksum ${is}`);
    if (bytes === null) return;
    if (hasher(bytes.subarray(prepareHeaderBytes)) !== header.bodyChecksum) {
      this.fail('identity', `the body of ${what()} is another one`);
    }
    if (!isHeaderOf(header, bytes)) this.fail('identity', `the header of ${what()} is not its first bytes`);
  }
}
