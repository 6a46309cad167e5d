import { type CheckpointRef, err, ok, type Prepare, type Result } from '@kimberlite/base';
import { decodeCheckpointHeader } from './checkpoint-file.ts';
import { CheckpointFiles, listCheckpointFiles } from './checkpoint-files.ts';
import { type Done, eachInTurn } from './completion.ts';
import type { Disk, DiskError } from './disk.ts';
import type { HeaderRecord } from './header-record.ts';
import { type InspectOptions, listLog, readOwner } from './inspect.ts';
import { blockBytes, fileName, type LogIdentity, parseFileName, recordBytes } from './layout.ts';
import { diskFailure, type LogError } from './log-error.ts';
import { decodeRecord } from './record.ts';
import type { Superblock } from './superblock.ts';

/** The header records of a directory as they were when it was opened, and the prepares they lead to. Reads only. */
export interface LogReader {
  readonly superblock: Superblock;
  /** By op; ops without a record are not in it. */
  readonly headers: ReadonlyMap<number, HeaderRecord>;
  /** The prepare of an op, or null when it is not intact where its header record puts it. */
  readonly read: (op: number, done: (prepare: Prepare | null) => void) => void;
  /** Of every checkpoint whose header block is whole, ascending by op. */
  readonly checkpoints: readonly CheckpointRef[];
  /** Part `number` of its content, from 0, or null when it is not intact. */
  readonly readCheckpointPart: (ref: CheckpointRef, number: number, done: (bytes: Uint8Array | null) => void) => void;
}

export function openLogReader(options: InspectOptions, done: (result: Result<LogReader, LogError>) => void): void {
  readOwner(options, (owner) => {
    if (!owner.ok) return done(owner);
    const { identity, superblock } = owner.value;
    const headers = new Map<number, HeaderRecord>();
    const read: LogReader['read'] = (op, found) => {
      const record = headers.get(op);
      if (record === undefined || record.state !== 'header') return found(null);
      const { place, header } = record;
      options.disk.read(fileName('segment', place.segment), place.offset, recordBytes(place.lengthBytes), (bytes) => {
        const prepare = bytes.ok ? decodeRecord(bytes.value, place, identity) : null;
        found(prepare !== null && prepare.header.id === header.id ? prepare : null);
      });
    };
    listLog(
      options,
      (op, header) => void headers.set(op, header),
      (listed) => {
        if (!listed.ok) return done(err(listed.error));
        readCheckpointRefs(options.disk, identity, (refs, files) => {
          if (!refs.ok) return done(err(diskFailure(refs.error)));
          const checkpoints = refs.value;
          const readCheckpointPart: LogReader['readCheckpointPart'] = (ref, number, found) =>
            files.readPart(ref, number, found);
          done(ok({ superblock, headers, read, checkpoints, readCheckpointPart }));
        });
      },
    );
  });
}

function readCheckpointRefs(
  disk: Disk,
  identity: LogIdentity,
  done: (refs: Result<readonly CheckpointRef[], DiskError>, files: CheckpointFiles) => void,
): void {
  disk.list((names) => {
    listCheckpointFiles(disk, names.ok ? names.value : [], (found) => {
      const files = new CheckpointFiles({ disk, identity, found: found.ok ? found.value : new Map() });
      if (!names.ok) return done(names, files);
      if (!found.ok) return done(found, files);
      const refs: CheckpointRef[] = [];
      const readOne = (file: string, next: Done<DiskError>): void => {
        const known = parseFileName(file);
        if (known?.type !== 'checkpoint') return next(ok(undefined));
        disk.read(file, 0, blockBytes, (read) => {
          const ref = read.ok ? decodeCheckpointHeader(read.value, known.op, identity) : null;
          if (ref !== null) refs.push(ref);
          next(ok(undefined));
        });
      };
      eachInTurn([...found.value.keys()], readOne, (result) => done(result.ok ? ok(refs) : err(result.error), files));
    });
  });
}
