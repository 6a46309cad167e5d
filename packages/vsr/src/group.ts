import {
  type Checksum,
  type ClusterId,
  decodeUtf8,
  encodeUtf8,
  err,
  type FixedReader,
  FixedWriter,
  ok,
  type Op,
  type PrepareHeader,
  replicasMax,
  type Result,
  type Timestamp,
  type View,
} from '@kimberlite/base';
import { type Quorums, quorumsOf } from './quorum.ts';

// Who belongs to the cluster (VRR section 7). A group holds for one epoch; the last op of the epoch before names it.

/**
 * The epoch of a view is its quotient by this number, so that views never go back across epochs, in memory and on the
 * disk, and every message that names a view names its epoch. A view a second would use one up in three hundred years.
 */
export const viewsPerEpoch = 10_000_000_000;

export const epochOf = (view: number): number => Math.floor(view / viewsPerEpoch);

/** Stands for the end of the epoch before: log view of whoever has its last op, and view of nobody. */
export const firstViewOf = (epoch: number): number => epoch * viewsPerEpoch;

export interface Group {
  /** Rises by one with each change; 0: as founded. */
  readonly epoch: number;
  /** In the order in which they become primary. */
  readonly voters: readonly number[];
  /** Ascending. They receive and apply; they are in no quorum. */
  readonly standbys: readonly number[];
  /** By replica, of as many as a cluster may have: the lowest incarnation that may speak. */
  readonly incarnations: readonly number[];
  /** By replica: where its peers reach it. Empty: as each node is configured. */
  readonly addresses: readonly string[];
}

/** A group, and the op that made it: the last of the epoch before, committed. Null: founded. */
export interface Membership {
  readonly group: Group;
  readonly boundary: PrepareHeader | null;
}

export const addressBytesMax = 255;

export const foundingGroup = (replicaCount: number): Group => ({
  epoch: 0,
  voters: Array.from({ length: replicaCount }, (_, replica) => replica),
  standbys: [],
  incarnations: Array.from({ length: replicasMax }, () => 0),
  addresses: Array.from({ length: replicasMax }, () => ''),
});

export const quorumsOfGroup = ({ voters }: Group): Quorums => quorumsOf(voters.length);

/** Voters and standbys. */
export const membersOf = ({ voters, standbys }: Group): readonly number[] => [...voters, ...standbys];

/** The primary of a view of the group's own epoch. The first view that is served has number 1, but for the first epoch's. */
export function primaryIn({ epoch, voters }: Group, view: number): number {
  const number = view - firstViewOf(epoch);
  const turn = epoch === 0 ? number : Math.max(0, number - 1);
  return voters[turn % voters.length] as number;
}

// Bytes: epoch u32 · voters u8, each u8 · standbys u8, each u8 · six times (incarnation u32, address length u8, UTF-8).

export function encodeGroup(group: Group): Uint8Array {
  const addresses = Array.from({ length: replicasMax }, (_, replica) => encodeUtf8(group.addresses[replica] ?? ''));
  const { voters, standbys, incarnations } = group;
  const textBytes = addresses.reduce((sum, text) => sum + text.length, 0);
  const writer = new FixedWriter(4 + 2 + voters.length + standbys.length + replicasMax * 5 + textBytes);
  writer.u32(group.epoch).u8(voters.length);
  for (const replica of voters) writer.u8(replica);
  writer.u8(standbys.length);
  for (const replica of standbys) writer.u8(replica);
  for (const [replica, address] of addresses.entries()) {
    writer
      .u32(incarnations[replica] ?? 0)
      .u8(address.length)
      .raw(address);
  }
  return writer.bytes;
}

/** Total; leaves the reader behind the group. */
export function readGroup(reader: FixedReader): Result<Group, string> {
  const epoch = reader.u32();
  const voters = readReplicas(reader);
  const standbys = readReplicas(reader);
  if (voters === null || standbys === null || voters.length === 0) return err('a group is out of bounds');
  if (new Set([...voters, ...standbys]).size !== voters.length + standbys.length)
    return err('a replica is named twice');
  const incarnations: number[] = [];
  const addresses: string[] = [];
  for (let replica = 0; replica < replicasMax; replica++) {
    incarnations.push(reader.u32());
    const address = decodeUtf8(reader.raw(reader.u8()));
    if (address === undefined) return err('an address is no text');
    addresses.push(address);
  }
  return reader.failed ? err('a group is cut short') : ok({ epoch, voters, standbys, incarnations, addresses });
}

function readReplicas(reader: FixedReader): number[] | null {
  const count = reader.u8();
  if (reader.failed || count > replicasMax) return null;
  const replicas = Array.from({ length: count }, () => reader.u8());
  return replicas.every((replica) => replica < replicasMax) ? replicas : null;
}

// Prepare headers, as superblock and checkpoints keep them.

export const headerBytes = 16 + 16 + 8 + 8 + 16 + 8 + 4 + 16;

export function writeHeader(writer: FixedWriter, header: PrepareHeader | null): void {
  if (header === null) {
    writer.raw(new Uint8Array(headerBytes));
    return;
  }
  writer.hex128(header.id).hex128(header.cluster).u64(header.op).u64(header.view).hex128(header.parent);
  writer.u64(header.timestamp).u32(header.bodyLengthBytes).hex128(header.bodyChecksum);
}

export function readHeader(reader: FixedReader): PrepareHeader {
  return {
    id: reader.hex128() as Checksum,
    cluster: reader.hex128() as ClusterId,
    op: reader.u64() as Op,
    view: reader.u64() as View,
    parent: reader.hex128() as Checksum,
    timestamp: reader.u64() as Timestamp,
    bodyLengthBytes: reader.u32(),
    bodyChecksum: reader.hex128() as Checksum,
  };
}

// A membership: the group, then the header of the op that made it, all zeros for the founding group.

export function encodeMembership({ group, boundary }: Membership): Uint8Array {
  const bytes = encodeGroup(group);
  const writer = new FixedWriter(bytes.length + headerBytes).raw(bytes);
  writeHeader(writer, boundary);
  return writer.bytes;
}

/** Total; leaves the reader behind the membership. */
export function readMembership(reader: FixedReader): Result<Membership, string> {
  const group = readGroup(reader);
  if (!group.ok) return group;
  const header = readHeader(reader);
  if (reader.failed) return err('a membership is cut short');
  if ((header.op === 0) !== (group.value.epoch === 0))
    return err('an epoch begins with an op, and the first with none');
  return ok({ group: group.value, boundary: header.op === 0 ? null : header });
}
