import { assert, type ClusterId, err, ok, type Result } from '@kimberlite/base';
import { listCheckpointFiles } from './checkpoint-files.ts';
import { type Done, eachInTurn, inTurn, type Task } from './completion.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk } from './disk.ts';
import { checkFileHeader, encodeFileHeader, fileSizeBytes } from './file-header.ts';
import { withDisk } from './format.ts';
import { FoundSlots, type HeaderRepair } from './found-slots.ts';
import {
  blockBytes,
  type FileKind,
  fileName,
  headerPlace,
  headerRecordBytes,
  isTrimmed,
  type LogIdentity,
  parseFileName,
  recordBytes,
  sequencesOf,
  superblockFile,
} from './layout.ts';
import { type Log, OpenLog } from './log.ts';
import { diskFailure, type LogError } from './log-error.ts';
import { recoverLog, type Wanted } from './recovery.ts';
import { type Damage, scanSegment } from './segment-scan.ts';
import { chooseSuperblock, isStale, readSuperblockCopies, rewriteStaleCopies, type Superblock } from './superblock.ts';
import { readTolerant } from './tolerant-read.ts';

export interface OpenOptions extends LogIdentity, MarkPort {
  readonly disk: Disk;
  /** Called at most once; nothing completes afterwards. */
  readonly onFatal: (error: Error) => void;
  /** Appends wait for room on the disk (true); or go on again. */
  readonly onFull?: (full: boolean) => void;
}

export interface OpenedLog {
  /** Payload of the superblock. */
  readonly superblock: Uint8Array;
  readonly log: Log;
  /** Damaged copies of the superblock, file headers and header records that were written again. */
  readonly mended: number;
  /** Table D over what was found. Once, before the first append. */
  readonly recover: (wanted: Wanted) => ReturnType<typeof recoverLog>;
}

/** A log while it is opened: each step leaves here what the next ones need. */
interface Opening {
  readonly options: OpenOptions;
  /** Without what lies below the low end of the log. */
  readonly files: readonly string[];
  /** Left below it by a trim that was cut off. */
  readonly trimmed: readonly string[];
  readonly superblock: Superblock;
  readonly found: FoundSlots;
  mended: number;
  checkpoints: ReadonlyMap<string, number>;
}

/**
 * Opens a directory that `formatLog` made. Everything that was only written, by a process that was killed, is synced
 * before it is believed; stale copies of the superblock and cut-off header records are written again (pitfall 62).
 */
export function openLog(options: OpenOptions, done: (result: Result<OpenedLog, LogError>) => void): void {
  const { disk } = options;
  disk.list((files) => {
    if (!files.ok) return done(err(diskFailure(files.error)));
    if (!files.value.includes(superblockFile)) return done(err(notFormatted(files.value)));
    openSuperblock(options, files.value, (superblock, badCopies) => {
      if (!superblock.ok) return done(superblock);
      const opening = beginOpening(options, files.value, superblock.value);
      opening.mended += badCopies;
      inTurn<LogError>(
        [
          (next) => removeLeftovers(opening, next),
          (next) => listCheckpoints(opening, next),
          (next) => syncFiles(opening, next),
          (next) => readHeaders(opening, next),
          (next) => scanSegments(opening, next),
          (next) => repairHeaders(opening, next),
          (next) => clearTornWrites(opening, next),
        ],
        (result) => done(result.ok ? ok(openedLog(opening)) : result),
      );
    });
  });
}

function beginOpening(options: OpenOptions, files: readonly string[], superblock: Superblock): Opening {
  const { geometry, trim } = superblock;
  const found = new FoundSlots(geometry, options, trim.op, options);
  const trimmed = files.filter((file) => isTrimmed(file, geometry, trim));
  const kept = files.filter((file) => !trimmed.includes(file));
  return { options, files: kept, trimmed, superblock, found, mended: 0, checkpoints: new Map() };
}

function notFormatted(files: readonly string[]): LogError {
  const traces = files.filter((file) => parseFileName(file) !== null);
  const detail = traces.length > 0 ? ' (a format was interrupted, or the superblock was removed)' : '';
  return {
    kind: 'not-formatted',
    message: `The directory has no ${superblockFile}${detail}. Prepare it once with "kimberlite format".`,
  };
}

function openSuperblock(
  options: OpenOptions,
  files: readonly string[],
  opened: (result: Result<Superblock, LogError>, badCopies: number) => void,
): void {
  const { disk, hasher } = options;
  const done = (result: Result<Superblock, LogError>): void => opened(result, 0);
  assert(files.includes(superblockFile), 'the superblock is in the directory');
  withDisk((next) => disk.sync(superblockFile, next))((synced) => {
    if (!synced.ok) return done(synced);
    readSuperblockCopies(disk, hasher, (copies) => {
      if (!copies.ok) return done(copies);
      const chosen = chooseSuperblock(copies.value);
      if (!chosen.ok) return done(chosen);
      const foreign = checkOwner(chosen.value, options.cluster, options.replica);
      if (foreign !== null) return done(err(foreign));
      if (copies.value.some((copy) => isStale(copy, chosen.value))) options.mark?.('superblock-copy-rewritten');
      const bad = copies.value.filter(({ state }) => state === 'bad').length;
      rewriteStaleCopies(disk, hasher, copies.value, chosen.value, (result) =>
        opened(result.ok ? chosen : result, bad),
      );
    });
  });
}

function checkOwner(superblock: Superblock, cluster: ClusterId, replica: number): LogError | null {
  if (superblock.cluster !== cluster) {
    const message = `The directory belongs to cluster ${superblock.cluster}, this node to ${cluster}. Check clusterId and dataDir.`;
    return { kind: 'foreign-cluster', message, file: superblockFile };
  }
  if (superblock.replica !== replica) {
    const message = `The directory belongs to replica ${superblock.replica}, this node is replica ${replica}. Check replica and dataDir.`;
    return { kind: 'foreign-replica', message, file: superblockFile };
  }
  return null;
}

function removeLeftovers({ options, files, trimmed }: Opening, done: Done<LogError>): void {
  const { disk } = options;
  const unfinished = files.filter((file) => parseFileName(file)?.type === 'unfinished');
  if (unfinished.length > 0) options.mark?.('unfinished-file-removed');
  if (trimmed.length > 0) options.mark?.('trimmed-file-removed');
  const leftovers = [...unfinished, ...trimmed];
  // Also without leftovers: a name that was not synced yet may be all there is of a file in use.
  inTurn<LogError>(
    [
      (next) => eachInTurn(leftovers, (file, finished) => withDisk((end) => disk.remove(file, end))(finished), next),
      withDisk((next) => disk.syncDirectory(next)),
    ],
    done,
  );
}

/** By name and size; whether they are intact is seen when they are read. */
function listCheckpoints(opening: Opening, done: Done<LogError>): void {
  listCheckpointFiles(opening.options.disk, opening.files, (listed) => {
    if (!listed.ok) return done(err(diskFailure(listed.error)));
    opening.checkpoints = listed.value;
    done(ok(undefined));
  });
}

const numberedFiles = (files: readonly string[]): { readonly kind: FileKind; readonly sequence: number }[] =>
  (['headers', 'segment'] as const).flatMap((kind) => sequencesOf(files, kind).map((sequence) => ({ kind, sequence })));

/** A killed process leaves writes that can be read and are not durable: nothing is believed before it is synced. */
function syncFiles({ options, files }: Opening, done: Done<LogError>): void {
  const sync = ({ kind, sequence }: { kind: FileKind; sequence: number }, finished: Done<LogError>): void =>
    withDisk((end) => options.disk.sync(fileName(kind, sequence), end))(finished);
  eachInTurn(numberedFiles(files), sync, done);
}

const damaged = (file: string, message: string): LogError => ({ kind: 'damaged', message, file });

/** Size and file header. A damaged header is written again, since all it says is known otherwise. */
function openNumbered(opening: Opening, kind: FileKind, sequence: number, done: Done<LogError>): void {
  const { options, superblock } = opening;
  const { disk } = options;
  const file = fileName(kind, sequence);
  const sizeBytes = fileSizeBytes(superblock.geometry, kind);
  const expected = { kind, sequence, sizeBytes };
  disk.size(file, (size) => {
    if (!size.ok) return done(err(diskFailure(size.error)));
    if (size.value !== sizeBytes) {
      return done(
        err(damaged(file, `${file} has ${size.value} bytes and should have ${sizeBytes}. Replace this replica.`)),
      );
    }
    readTolerant(disk, file, 0, blockBytes, (read) => {
      if (!read.ok) return done(err(diskFailure(read.error)));
      const verdict = checkFileHeader(read.value, expected, options);
      if (verdict === 'intact') return done(ok(undefined));
      if (verdict === 'foreign')
        return done(
          err(
            damaged(
              file,
              `${file} belongs to another replica, place or cluster. Restore the file of this one, or replace this replica.`,
            ),
          ),
        );
      if (verdict === 'version') {
        return done(err({ kind: 'version', message: `${file} was written by another version of this program.`, file }));
      }
      options.mark?.('file-header-rewritten');
      opening.mended += 1;
      const header = encodeFileHeader(expected, options);
      inTurn<LogError>(
        [withDisk((next) => disk.write(file, 0, header, next)), withDisk((next) => disk.sync(file, next))],
        done,
      );
    });
  });
}

function readHeaders(opening: Opening, done: Done<LogError>): void {
  const { options, files, superblock, found } = opening;
  const sequences = sequencesOf(files, 'headers');
  const { geometry, trim } = superblock;
  const lowest = headerPlace(geometry, trim.op).sequence;
  const gap = sequences.findIndex((sequence, i) => sequence !== lowest + i);
  // A trim beyond the highest headers file leaves none; should there be prepares, their scan says that it is missing.
  const isMissing = sequences.length === 0 ? trim.op === 1 : gap >= 0;
  if (isMissing) {
    const file = fileName('headers', lowest + Math.max(0, gap));
    return done(err(damaged(file, `${file} is missing. Restore it, or replace this replica.`)));
  }
  const readOne = (sequence: number, finished: Done<LogError>): void => {
    const lengthBytes = superblock.geometry.headerSlots * headerRecordBytes;
    openNumbered(opening, 'headers', sequence, (opened) => {
      if (!opened.ok) return finished(opened);
      readTolerant(options.disk, fileName('headers', sequence), blockBytes, lengthBytes, (read) => {
        if (!read.ok) return finished(err(diskFailure(read.error)));
        found.addHeaders(sequence, read.value);
        finished(ok(undefined));
      });
    });
  };
  eachInTurn(sequences, readOne, done);
}

function scanSegments(opening: Opening, done: Done<LogError>): void {
  const { options, files, superblock, found } = opening;
  const sizeBytes = superblock.geometry.segmentBytes;
  let orphan: LogError | null = null;
  const scan = (segment: number, finished: Done<LogError>): void => {
    const visitor = {
      claim: (offset: number) => found.claim(segment, offset),
      onDamage: (damage: Damage) => void found.damage.push(damage),
      onRecord: (
        prepare: { readonly header: { readonly op: number; readonly id: Parameters<typeof found.index.set>[2] } },
        place: Parameters<typeof found.index.set>[1],
      ) => {
        const { op, id } = prepare.header;
        found.noteUsed(segment, place.offset + recordBytes(place.lengthBytes));
        if (op < found.lowest) return;
        if (found.hasHeadersFor(op)) return found.index.set(op, place, id);
        const file = fileName('headers', headerPlace(superblock.geometry, op).sequence);
        orphan = damaged(file, `${file} is missing, and op ${op} is in the log. Restore it, or replace this replica.`);
      },
    };
    openNumbered(opening, 'segment', segment, (opened) => {
      if (!opened.ok) return finished(opened);
      withDisk((end) => scanSegment({ disk: options.disk, segment, sizeBytes, identity: options, visitor }, end))(
        finished,
      );
    });
  };
  const segments = sequencesOf(files, 'segment');
  const { trim } = superblock;
  if (segments.length === 0 && trim.op > 1) {
    const file = fileName('segment', trim.segment);
    return done(err(damaged(file, `${file} is missing. Restore it, or replace this replica.`)));
  }
  eachInTurn(segments, scan, (result) => {
    done(result.ok && orphan !== null ? err(orphan) : result);
  });
}

/** The prepare header at the repair's place, which the scan has just found intact. */
function repairHeader(opening: Opening, repair: HeaderRepair, done: Done<LogError>): void {
  const { options, superblock, found } = opening;
  const { disk } = options;
  const frame = 64;
  disk.read(fileName('segment', repair.place.segment), repair.place.offset, blockBytes, (read) => {
    if (!read.ok) return done(err(diskFailure(read.error)));
    if (found.header(repair.op).state === 'bad') opening.mended += 1;
    const record = found.repair(repair, read.value.subarray(frame));
    const { sequence, offset } = headerPlace(superblock.geometry, repair.op);
    withDisk((next) => disk.write(fileName('headers', sequence), offset, record, next))(done);
  });
}

function repairHeaders(opening: Opening, done: Done<LogError>): void {
  const { options, superblock, found } = opening;
  const repairs = found.planRepairs();
  const touched = new Set(repairs.map(({ op }) => headerPlace(superblock.geometry, op).sequence));
  inTurn<LogError>(
    [
      (next) => eachInTurn(repairs, (repair, finished) => repairHeader(opening, repair, finished), next),
      (next) =>
        eachInTurn(
          [...touched],
          (sequence, finished) => withDisk((end) => options.disk.sync(fileName('headers', sequence), end))(finished),
          next,
        ),
    ],
    done,
  );
}

function clearTornWrites({ options, found }: Opening, done: Done<LogError>): void {
  const { disk } = options;
  const torn = new Set(found.clearable());
  if (torn.size > 0) options.mark?.('torn-write-cleared');
  if (torn.size < found.damage.length) options.mark?.('damage-left-alone');
  for (const damage of found.damage) {
    if (!torn.has(damage)) found.noteUsed(damage.segment, damage.offset + damage.lengthBytes);
  }
  const clear = (damage: Damage): Task<LogError> =>
    withDisk((end) =>
      disk.write(fileName('segment', damage.segment), damage.offset, new Uint8Array(damage.lengthBytes), end),
    );
  const sync = (segment: number): Task<LogError> => withDisk((end) => disk.sync(fileName('segment', segment), end));
  const segments = new Set([...torn].map(({ segment }) => segment));
  inTurn([...[...torn].map(clear), ...[...segments].map(sync)], done);
}

function openedLog({ options, files, superblock, found, mended, checkpoints }: Opening): OpenedLog {
  const { geometry, trim } = superblock;
  // A record that reads as zeros looks like room; its header record says that it is none.
  const damaged = found.damagedPlaces();
  for (const { segment, offset, lengthBytes } of damaged.values())
    found.noteUsed(segment, offset + recordBytes(lengthBytes));
  const segment = Math.max(trim.segment, ...found.usedEnd.keys());
  const segments = sequencesOf(files, 'segment');
  const headers = sequencesOf(files, 'headers');
  const lowestHeaders = headerPlace(geometry, trim.op).sequence;
  const log = new OpenLog({
    ...options,
    identity: options,
    superblock,
    index: found.index,
    damaged,
    segment,
    offset: found.usedEnd.get(segment) ?? blockBytes,
    existing: {
      segment: { lowest: trim.segment, highest: Math.max(trim.segment - 1, ...segments) },
      headers: { lowest: lowestHeaders, highest: headers.at(-1) ?? lowestHeaders - 1 },
    },
    checkpoints,
  });
  let source: FoundSlots | null = found;
  const recover = (wanted: Wanted): ReturnType<typeof recoverLog> => {
    assert(source !== null, 'a log is recovered once');
    const { highest, lowest } = source;
    const slots = source;
    source = null;
    const recovered = recoverLog(
      { lowest, highest, header: (op) => slots.header(op), body: (op) => slots.body(op) },
      wanted,
    );
    if (recovered.slots.some((slot) => slot.state === 'faulty')) options.mark?.('slot-faulty');
    if (recovered.slots.some((slot) => slot.state === 'missing')) options.mark?.('slot-torn');
    if (!recovered.headCertain) options.mark?.('head-uncertain');
    return recovered;
  };
  return { superblock: superblock.payload, log, mended, recover };
}
