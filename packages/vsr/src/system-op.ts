import {
  type ClientId,
  concatBytes,
  FixedReader,
  FixedWriter,
  type Hasher,
  type Prepare,
  prepareBody,
  replicasMax,
  requestNumber,
  sessionNumber,
} from '@kimberlite/base';
import { decodeBatch } from './batch.ts';
import type { ClientRequest } from './client.ts';
import { encodeGroup, type Group, readGroup } from './group.ts';

/** What the protocol itself puts into the log. */
export type SystemOp =
  /** Incarnations of that replica below this one are dead. */
  | { readonly type: 'fence'; readonly replica: number; readonly incarnation: number }
  /** Takes its place in the log, so that the ops P below it are committed for certain. */
  | { readonly type: 'nothing' }
  /** Every replica takes a checkpoint here. */
  | { readonly type: 'checkpoint' }
  /** The last op of its epoch: this group is the next one's. */
  | { readonly type: 'reconfigure'; readonly group: Group }
  /** From here on all replicas behave as this version of the protocol says. */
  | { readonly type: 'upgrade'; readonly version: number };

/** No client has this id: hosts refuse it. */
export const systemClient: ClientId = '0'.repeat(32) as ClientId;

const kinds = { fence: 1, nothing: 2, checkpoint: 3, reconfigure: 4, upgrade: 5 } as const;
const systemBytes = 1 + 1 + 4;

function encodeSystemOp(op: SystemOp): Uint8Array {
  const writer = new FixedWriter(systemBytes).u8(kinds[op.type]);
  if (op.type === 'fence') writer.u8(op.replica).u32(op.incarnation);
  if (op.type === 'upgrade') writer.u8(0).u32(op.version);
  return op.type === 'reconfigure' ? concatBytes([writer.bytes, encodeGroup(op.group)]) : writer.bytes;
}

/** Null: none of those there are. */
export function decodeSystemOp(body: Uint8Array): SystemOp | null {
  const reader = new FixedReader(body);
  // The last is the version of an upgrade.
  const [kind, replica, incarnation] = [reader.u8(), reader.u8(), reader.u32()];
  if (kind === kinds.reconfigure) {
    const group = readGroup(reader);
    return group.ok && reader.remaining === 0 ? { type: 'reconfigure', group: group.value } : null;
  }
  if (reader.failed || reader.remaining > 0) return null;
  if (kind === kinds.fence) return replica < replicasMax ? { type: 'fence', replica, incarnation } : null;
  if (kind === kinds.upgrade) return replica === 0 ? { type: 'upgrade', version: incarnation } : null;
  if (kind === kinds.nothing) return { type: 'nothing' };
  return kind === kinds.checkpoint ? { type: 'checkpoint' } : null;
}

export function systemRequest(hasher: Hasher, op: SystemOp): ClientRequest {
  const body = encodeSystemOp(op);
  const numbers = { session: sessionNumber(0), number: requestNumber(0), floor: requestNumber(0) };
  return { client: systemClient, ...numbers, checksum: hasher(body), body };
}

/** Bytes of a batch before the client of its first request. */
const countBytes = 4;

/** The system op that a prepare holds by itself. Looks at most at the first bytes of any other. */
export function systemOpIn(prepare: Prepare): SystemOp | null {
  const body = prepareBody(prepare);
  if (body.length < countBytes + 16 || body[0] !== 1) return null;
  for (let i = 1; i < countBytes + 16; i++) if (body[i] !== 0) return null;
  const batch = decodeBatch(body);
  const [request] = batch.ok ? batch.value : [];
  return request === undefined ? null : decodeSystemOp(request.body);
}
