import { err, ok, type Prepare, type Result } from '@kimberlite/base';
import type { HeaderRecord } from './header-record.ts';
import { type InspectOptions, listLog, readOwner } from './inspect.ts';
import { fileName, recordBytes } from './layout.ts';
import type { LogError } from './log-error.ts';
import { decodeRecord } from './record.ts';
import type { Superblock } from './superblock.ts';

/** The header records of a directory as they were when it was opened, and the prepares they lead to. Reads only. */
export interface LogReader {
  readonly superblock: Superblock;
  /** By op; ops without a record are not in it. */
  readonly headers: ReadonlyMap<number, HeaderRecord>;
  /** The prepare of an op, or null when it is not intact where its header record puts it. */
  readonly read: (op: number, done: (prepare: Prepare | null) => void) => void;
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
      (listed) => done(listed.ok ? ok({ superblock, headers, read }) : err(listed.error)),
    );
  });
}
