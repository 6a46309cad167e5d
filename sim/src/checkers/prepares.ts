import {
  bytesEqual,
  type Checksum,
  decodePrepare,
  encodePrepareHeader,
  hexInto,
  type PrepareHeader,
  prepareHeaderBytes,
} from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { type Checker, describeHeader, type Fail, type World } from './checker.ts';
import { eachRecord } from './platters.ts';

/** A prepare that was seen in a message or on a disk. `bytes` are null while only its header was. */
export interface KnownPrepare {
  readonly header: PrepareHeader;
  bytes: Uint8Array | null;
}

/** Every prepare there ever was, whoever spoke of it. */
export interface Prepares {
  readonly checker: Checker;
  readonly get: (id: Checksum) => KnownPrepare | undefined;
  /** All prepares for one op: more than one where a view change undid some. */
  readonly at: (op: number) => readonly KnownPrepare[];
  /** All prepares that name `id` as the one before them. */
  readonly after: (id: Checksum) => readonly KnownPrepare[];
  /** Called once for each prepare, when it is first seen. */
  readonly onNew: (listener: (known: KnownPrepare) => void) => void;
}

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

function push<Key>(map: Map<Key, KnownPrepare[]>, key: Key, known: KnownPrepare): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [known]);
  else list.push(known);
}

/**
 * At most one prepare per (view, op), over all messages and all disks; made by the primary of its view alone; and
 * each id is what it says: the checksum of those very header bytes, and through them of the body (pitfalls 10, 66).
 */
export function watchPrepares(world: World, fail: Fail): Prepares {
  const byId = new Map<Checksum, KnownPrepare>();
  const byOp = new Map<number, KnownPrepare[]>();
  const byParent = new Map<Checksum, KnownPrepare[]>();
  const listeners: ((known: KnownPrepare) => void)[] = [];
  const { hasher } = world;

  const checkIdentity = (header: PrepareHeader, bytes: Uint8Array | null, where: string): void => {
    const encoded = encodePrepareHeader(header);
    const is = hasher(encoded.subarray(16));
    if (is !== header.id) fail('identity', `${describeHeader(header)} ${where} has the checksum ${is}`);
    if (bytes === null) return;
    if (!bytesEqual(bytes.subarray(0, prepareHeaderBytes), encoded)) {
      fail('identity', `the header of ${describeHeader(header)} ${where} is not its first bytes`);
    }
    if (hasher(bytes.subarray(prepareHeaderBytes)) !== header.bodyChecksum) {
      fail('identity', `the body of ${describeHeader(header)} ${where} is another one`);
    }
  };

  const add = (header: PrepareHeader, bytes: Uint8Array | null, where: string): void => {
    checkIdentity(header, bytes, where);
    for (const { header: other } of byOp.get(header.op) ?? none) {
      if (other.view !== header.view) continue;
      fail('one-prepare-per-view', `op ${header.op} of view ${header.view} is ${other.id} and, ${where}, ${header.id}`);
    }
    const known = { header, bytes };
    byId.set(header.id, known);
    push(byOp, header.op, known);
    push(byParent, header.parent, known);
    for (const listener of listeners) listener(known);
  };

  const see = (header: PrepareHeader, bytes: Uint8Array | null, where: string): void => {
    const known = byId.get(header.id);
    if (known === undefined) return add(header, bytes, where);
    if (bytes === null || bytes === known.bytes) return;
    if (known.bytes === null) {
      checkIdentity(header, bytes, where);
      known.bytes = bytes;
    } else if (!bytesEqual(known.bytes, bytes)) {
      fail('identity', `${describeHeader(header)} has other bytes ${where} than before`);
    }
  };

  /** The prepare with those 128 bits, if it is known with its bytes. */
  const known = (op: number, id: Uint8Array): KnownPrepare | undefined =>
    byOp.get(op)?.find(({ bytes }) => bytes !== null && bytesEqual(bytes.subarray(0, 16), id));

  return {
    checker: {
      name: 'one-prepare-per-view',
      sent: (replica, message) => {
        if (message.type === 'prepare' || message.type === 'repair-prepare') {
          const { header, bytes } = message.prepare;
          see(header, bytes, `from replica ${replica}`);
          const isNew = message.type === 'prepare' && header.view === message.view;
          if (isNew && header.view % world.nodes !== replica) {
            fail('one-prepare-per-view', `replica ${replica}, not the primary of it, sends ${describeHeader(header)}`);
          }
          return;
        }
        for (const header of headersOf(message)) see(header, null, `from replica ${replica}`);
      },
      wrote: (replica, file, offset, bytes) => {
        eachRecord(file, offset, bytes, ({ op, id, prepare }) => {
          const there = known(op, id);
          if (there?.bytes != null && bytesEqual(there.bytes, prepare)) return;
          const where = `on the disk of replica ${replica}`;
          const decoded = decodePrepare(prepare, hasher);
          if (!decoded.ok) return fail('identity', `op ${op} ${where} is written damaged: ${decoded.error}`);
          see(decoded.value.header, prepare, where);
        });
      },
    },
    get: (id) => byId.get(id),
    at: (op) => byOp.get(op) ?? none,
    after: (id) => byParent.get(id) ?? none,
    onNew: (listener) => void listeners.push(listener),
  };
}

/** The 16 bytes of an id. */
export function idBytes(id: Checksum): Uint8Array {
  const bytes = new Uint8Array(16);
  hexInto(id, bytes, 0);
  return bytes;
}
