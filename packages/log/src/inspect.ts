import { type Crc32, err, type Hasher, ok, type Prepare, type ReplicaId, type Result } from '@kimberlite/base';
import { type Done, eachInTurn } from './completion.ts';
import type { Disk } from './disk.ts';
import { decodeHeaderRecord, type HeaderRecord } from './header-record.ts';
import {
  blockBytes,
  fileName,
  type Geometry,
  headerPlace,
  headerRecordBytes,
  isTrimmed,
  type LogIdentity,
  recordBytes,
  sequencesOf,
} from './layout.ts';
import { diskFailure, type LogError } from './log-error.ts';
import { decodeRecord } from './record.ts';
import { chooseSuperblock, readSuperblockCopies, type Superblock, type SuperblockCopy } from './superblock.ts';
import { readTolerant } from './tolerant-read.ts';

// Reading a directory without opening it: nothing is written, repaired or locked, so all of this also works beside a
// running node. Whose directory it is comes from its superblock.

export interface InspectOptions {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly crc32: Crc32;
}

export interface SuperblockInspection {
  /** What opening would choose; the error it would give when there is no choice. */
  readonly chosen: Result<Superblock, LogError>;
  readonly copies: readonly SuperblockCopy[];
}

export function inspectSuperblock(
  options: InspectOptions,
  done: (result: Result<SuperblockInspection, LogError>) => void,
): void {
  readSuperblockCopies(options.disk, options.hasher, (copies) => {
    if (!copies.ok) {
      const missing = copies.error.cause?.code === 'missing';
      const message = `The directory has no superblock: it is no data directory of a node (${copies.error.message}).`;
      return done(missing ? err({ ...copies.error, kind: 'not-formatted', message }) : copies);
    }
    done(ok({ chosen: chooseSuperblock(copies.value), copies: copies.value }));
  });
}

export interface DirectoryOwner {
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  readonly superblock: Superblock;
}

export function readOwner(options: InspectOptions, done: (result: Result<DirectoryOwner, LogError>) => void): void {
  inspectSuperblock(options, (inspected) => {
    if (!inspected.ok) return done(inspected);
    const { chosen } = inspected.value;
    if (!chosen.ok) return done(chosen);
    const { cluster, replica, geometry } = chosen.value;
    const { hasher, crc32 } = options;
    const identity = { cluster, replica: replica as ReplicaId, hasher, crc32 };
    done(ok({ identity, geometry, superblock: chosen.value }));
  });
}

export interface OpInspection {
  readonly op: number;
  /** File and offset of the op's header record. */
  readonly file: string;
  readonly offset: number;
  readonly header: HeaderRecord;
  /** The prepare, when it is intact where the header record puts it. */
  readonly prepare: Prepare | null;
}

export function inspectOp(
  options: InspectOptions,
  op: number,
  done: (result: Result<OpInspection, LogError>) => void,
): void {
  const { disk } = options;
  readOwner(options, (owner) => {
    if (!owner.ok) return done(owner);
    const { identity, geometry } = owner.value;
    const { sequence, offset } = headerPlace(geometry, op);
    const file = fileName('headers', sequence);
    disk.read(file, offset, headerRecordBytes, (slot) => {
      if (!slot.ok && slot.error.code !== 'missing') return done(err(diskFailure(slot.error)));
      const header: HeaderRecord = slot.ok ? decodeHeaderRecord(slot.value, op, identity) : { state: 'none' };
      const found = { op, file, offset, header };
      if (header.state !== 'header') return done(ok({ ...found, prepare: null }));
      const { place } = header;
      disk.read(fileName('segment', place.segment), place.offset, recordBytes(place.lengthBytes), (record) => {
        done(ok({ ...found, prepare: record.ok ? decodeRecord(record.value, place, identity) : null }));
      });
    });
  });
}

/** Visits the header record of every op the log still holds and that has one, whole or damaged, ascending. */
export function listLog(
  options: InspectOptions,
  visit: (op: number, header: HeaderRecord) => void,
  done: Done<LogError>,
): void {
  const { disk } = options;
  readOwner(options, (owner) => {
    if (!owner.ok) return done(owner);
    const { identity, geometry, superblock } = owner.value;
    const { trim } = superblock;
    disk.list((files) => {
      if (!files.ok) return done(err(diskFailure(files.error)));
      const readOne = (sequence: number, finished: Done<LogError>): void => {
        const lengthBytes = geometry.headerSlots * headerRecordBytes;
        readTolerant(disk, fileName('headers', sequence), blockBytes, lengthBytes, (read) => {
          if (!read.ok) return finished(err(diskFailure(read.error)));
          for (let slot = 0; slot < geometry.headerSlots; slot++) {
            const op = (sequence - 1) * geometry.headerSlots + slot + 1;
            const at = slot * headerRecordBytes;
            const header = decodeHeaderRecord(read.value.subarray(at, at + headerRecordBytes), op, identity);
            if (op >= trim.op && header.state !== 'none') visit(op, header);
          }
          finished(ok(undefined));
        });
      };
      const kept = files.value.filter((file) => !isTrimmed(file, geometry, trim));
      eachInTurn(sequencesOf(kept, 'headers'), readOne, done);
    });
  });
}
