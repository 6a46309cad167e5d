import { assert, err, ok, type Prepare, type Result } from '@kimberlite/base';
import { type Done, eachInTurn, inTurn } from './completion.ts';
import { checkFileHeader, fileSizeBytes } from './file-header.ts';
import { FoundSlots } from './found-slots.ts';
import { type DirectoryOwner, type InspectOptions, inspectSuperblock, readOwner } from './inspect.ts';
import {
  blockBytes,
  type FileKind,
  fileName,
  headerPlace,
  headerRecordBytes,
  isBehind,
  isTrimmed,
  parseFileName,
  type Location,
  recordBytes,
  recordBytesMax,
  sequencesOf,
  superblockFile,
} from './layout.ts';
import { diskFailure, type LogError } from './log-error.ts';
import { decodeFrame, decodeRecordBody } from './record.ts';
import { type Damage, scanSegment } from './segment-scan.ts';
import { superblockBytes, superblockCopyBytes } from './superblock.ts';
import { readTolerant } from './tolerant-read.ts';
import { type CheckpointInspection, type CheckpointProblem, inspectCheckpoint } from './verify-checkpoints.ts';

export interface LogProblem {
  readonly file: string;
  readonly offset: number;
  readonly op?: number;
  readonly kind:
    | 'superblock-copy'
    | 'superblock-stale'
    | 'missing-file'
    | 'size'
    | 'file-header'
    | 'header-record'
    | 'header-missing'
    | 'prepare'
    | 'padding'
    | 'stray-bytes'
    | 'chain'
    | CheckpointProblem['kind'];
  readonly message: string;
}

export interface VerifyOptions extends InspectOptions {
  /** A node has the directory open: what lies behind the end of the durable log may be half written. */
  readonly running: boolean;
  /** Up to this op every prepare must name the one before it: the commit number. */
  readonly chainTo?: number;
}

export interface VerifyReport {
  readonly problems: readonly LogProblem[];
  /** Highest op with a header record. */
  readonly highest: number;
  /** Prepares whose header record and body are intact. */
  readonly intact: number;
  /** Writes that were cut off behind the durable end and never acknowledged; the next start clears them. */
  readonly unfinished: readonly Damage[];
  /** Every file that has the name of a checkpoint, ascending; those without problems can be started from. */
  readonly checkpoints: readonly CheckpointInspection[];
  /** Files that are being made or received, and what a trim that was cut off left: nothing to repair. */
  readonly leftovers: readonly string[];
}

/** How far behind the durable end a running node may have begun to write: two groups of bodies. */
const unfinishedBytesMax = 2 * 8_388_608 + recordBytesMax;

/** Problems beyond this many are counted as one: a report is for people. */
const problemsMax = 10_000;

interface Verification {
  readonly options: VerifyOptions;
  readonly owner: DirectoryOwner;
  readonly files: readonly string[];
  readonly problems: LogProblem[];
  readonly found: FoundSlots;
  /** Ops whose prepare is intact exactly where the header record says. */
  readonly confirmed: Set<number>;
  readonly strays: Damage[];
  readonly unfinished: Damage[];
  readonly checkpoints: CheckpointInspection[];
  /** The last whole prepare the scan met: beside a running node it may lie behind the durable end as first read. */
  lastWhole: Location;
}

/**
 * Checks every byte of every file of a log, without changing any. What is neither a whole, checksummed record nor zero
 * is named. Bodies are synced before the header records that name them, so everything before the last place a header
 * record names must be whole, also while a node writes; behind it, unfinished writes are nothing to report.
 */
export function verifyLog(options: VerifyOptions, done: (result: Result<VerifyReport, LogError>) => void): void {
  const { disk } = options;
  readOwner(options, (owner) => {
    if (!owner.ok) return done(owner);
    disk.list((files) => {
      if (!files.ok) return done(err(diskFailure(files.error)));
      const { identity, geometry, superblock } = owner.value;
      const { trim } = superblock;
      const kept = files.value.filter((file) => !isTrimmed(file, geometry, trim));
      const v: Verification = {
        options,
        owner: owner.value,
        files: kept,
        checkpoints: [],
        problems: [],
        found: new FoundSlots(geometry, identity, trim.op),
        confirmed: new Set(),
        strays: [],
        unfinished: [],
        lastWhole: { segment: 1, offset: 0, lengthBytes: 0 },
      };
      inTurn<LogError>(
        [
          (next) => verifySuperblock(v, next),
          (next) => verifyHeaders(v, next),
          (next) => verifySegments(v, next),
          (next) => judgeStrays(v, next),
          (next) => verifyCheckpoints(v, next),
        ],
        (result) => {
          if (!result.ok) return done(result);
          checkBodies(v);
          checkChain(v);
          const { problems, unfinished, checkpoints } = v;
          const leftovers = files.value.filter((file) => isLeftover(file) || isTrimmed(file, geometry, trim));
          const { highest } = v.found;
          done(ok({ problems, highest, intact: v.confirmed.size, unfinished, checkpoints, leftovers }));
        },
      );
    });
  });
}

function isLeftover(file: string): boolean {
  const type = parseFileName(file)?.type;
  return type === 'unfinished' || type === 'receiving';
}

function verifyCheckpoints(v: Verification, done: Done<LogError>): void {
  const files = v.files.filter((file) => parseFileName(file)?.type === 'checkpoint');
  const verifyOne = (file: string, next: Done<LogError>): void =>
    inspectCheckpoint(v.options.disk, v.owner.identity, file, (inspected) => {
      if (!inspected.ok) return next(inspected);
      if (inspected.value !== null) v.checkpoints.push(inspected.value);
      for (const problem of inspected.value?.problems ?? []) report(v, problem);
      next(ok(undefined));
    });
  eachInTurn(files, verifyOne, done);
}

function report(v: Verification, problem: LogProblem): void {
  if (v.problems.length < problemsMax) v.problems.push(problem);
}

function verifySuperblock(v: Verification, done: Done<LogError>): void {
  inspectSuperblock(v.options, (inspected) => {
    if (!inspected.ok) return done(inspected);
    const { copies, chosen } = inspected.value;
    const newest = chosen.ok ? chosen.value.sequence : 0;
    for (const [copy, found] of copies.entries()) {
      const place = { file: superblockFile, offset: copy * superblockCopyBytes };
      if (found.state === 'bad') {
        report(v, { ...place, kind: 'superblock-copy', message: `copy ${copy}: ${found.reason}` });
      } else if (found.superblock.sequence < newest - 1) {
        // One behind is a write between its halves, or cut off there; the next start writes it again.
        const message = `copy ${copy} has sequence ${found.superblock.sequence}, the newest ${newest}`;
        report(v, { ...place, kind: 'superblock-stale', message });
      }
    }
    verifySize(v, superblockFile, superblockBytes, () => done(ok(undefined)));
  });
}

function verifySize(v: Verification, file: string, sizeBytes: number, done: (same: boolean) => void): void {
  v.options.disk.size(file, (size) => {
    const same = size.ok && size.value === sizeBytes;
    if (!same) {
      const message = size.ok ? `has ${size.value} bytes, should have ${sizeBytes}` : size.error.message;
      report(v, { file, offset: 0, kind: 'size', message });
    }
    done(same);
  });
}

/** Reads again what looked damaged beside a running node, which may have been writing it just then. */
function readSettled(
  v: Verification,
  file: string,
  offset: number,
  lengthBytes: number,
  isWhole: (bytes: Uint8Array) => boolean,
  done: (bytes: Uint8Array | null) => void,
): void {
  const attempts = v.options.running ? 4 : 1;
  const attempt = (left: number): void =>
    readTolerant(v.options.disk, file, offset, lengthBytes, (read) => {
      if (!read.ok) return done(null);
      if (left <= 1 || isWhole(read.value)) return done(read.value);
      attempt(left - 1);
    });
  attempt(attempts);
}

/** Size and file header; false when the rest of the file cannot be looked at. */
function verifyFile(v: Verification, kind: FileKind, sequence: number, done: (usable: boolean) => void): void {
  const file = fileName(kind, sequence);
  const { geometry, identity } = v.owner;
  const sizeBytes = fileSizeBytes(geometry, kind);
  verifySize(v, file, sizeBytes, (same) => {
    if (!same) return done(false);
    const verdict = (bytes: Uint8Array): string => checkFileHeader(bytes, { kind, sequence, sizeBytes }, identity);
    readSettled(
      v,
      file,
      0,
      blockBytes,
      (bytes) => verdict(bytes) === 'intact',
      (bytes) => {
        const found = bytes === null ? 'unreadable' : verdict(bytes);
        if (found !== 'intact') report(v, { file, offset: 0, kind: 'file-header', message: `its header is ${found}` });
        done(true);
      },
    );
  });
}

function reportGaps(v: Verification, kind: FileKind): readonly number[] {
  const sequences = sequencesOf(v.files, kind);
  const { geometry, superblock } = v.owner;
  const { trim } = superblock;
  const lowest = kind === 'segment' ? trim.segment : headerPlace(geometry, trim.op).sequence;
  // The headers file of an op that was never appended is made when it is, should a trim have gone beyond the others.
  const expected = kind === 'headers' && trim.op > 1 ? lowest - 1 : lowest;
  for (let sequence = lowest; sequence <= Math.max(expected, sequences.at(-1) ?? 0); sequence++) {
    if (sequences.includes(sequence)) continue;
    report(v, { file: fileName(kind, sequence), offset: 0, kind: 'missing-file', message: 'the file is missing' });
  }
  return sequences;
}

function verifyHeaders(v: Verification, done: Done<LogError>): void {
  const { geometry } = v.owner;
  const lengthBytes = geometry.headerSlots * headerRecordBytes;
  const verifyOne = (sequence: number, finished: Done<LogError>): void =>
    verifyFile(v, 'headers', sequence, (usable) => {
      if (!usable) return finished(ok(undefined));
      readTolerant(v.options.disk, fileName('headers', sequence), blockBytes, lengthBytes, (read) => {
        if (!read.ok) return finished(err(diskFailure(read.error)));
        v.found.addHeaders(sequence, read.value);
        verifySlots(v, sequence, finished);
      });
    });
  eachInTurn(reportGaps(v, 'headers'), verifyOne, done);
}

function verifySlots(v: Verification, sequence: number, done: Done<LogError>): void {
  const { geometry } = v.owner;
  const first = (sequence - 1) * geometry.headerSlots + 1;
  const bad: number[] = [];
  for (let op = first; op < first + geometry.headerSlots; op++) if (v.found.header(op).state === 'bad') bad.push(op);
  const settle = (op: number, finished: Done<LogError>): void => {
    const { offset } = headerPlace(geometry, op);
    const file = fileName('headers', sequence);
    const isWhole = (bytes: Uint8Array): boolean => v.found.replace(op, bytes) !== 'bad';
    readSettled(v, file, offset, headerRecordBytes, isWhole, (bytes) => {
      if (bytes === null || v.found.replace(op, bytes) === 'bad') {
        report(v, { file, offset, op, kind: 'header-record', message: `the header record of op ${op} is damaged` });
      }
      finished(ok(undefined));
    });
  };
  eachInTurn(bad, settle, done);
}

/** The last place a header record names: everything before it was synced before that record was written. */
function durableEnd(found: FoundSlots): Location {
  let end: Location = { segment: 1, offset: 0, lengthBytes: 0 };
  for (let op = found.lowestRecorded; op <= found.highest; op++) {
    const record = found.header(op);
    if (record.state === 'header' && isBehind(record.place, end)) end = record.place;
  }
  return end;
}

function verifySegments(v: Verification, done: Done<LogError>): void {
  const { geometry, identity } = v.owner;
  const end = durableEnd(v.found);
  const verifyOne = (segment: number, finished: Done<LogError>): void =>
    verifyFile(v, 'segment', segment, (usable) => {
      if (!usable) return finished(ok(undefined));
      const visitor = {
        claim: (offset: number) => v.found.claim(segment, offset),
        onDamage: (damage: Damage) => void v.strays.push(damage),
        onRecord: (prepare: Prepare, place: Location, paddingZero: boolean) =>
          verifyRecord(v, prepare, place, paddingZero, end),
      };
      const scan = { disk: v.options.disk, segment, sizeBytes: geometry.segmentBytes, identity, visitor };
      scanSegment(scan, (result) => finished(result.ok ? result : err(diskFailure(result.error))));
    });
  eachInTurn(reportGaps(v, 'segment'), verifyOne, done);
}

function verifyRecord(v: Verification, prepare: Prepare, place: Location, paddingZero: boolean, end: Location): void {
  const { op } = prepare.header;
  const file = fileName('segment', place.segment);
  const record = v.found.header(op);
  if (isBehind(place, v.lastWhole)) v.lastWhole = place;
  if (record.state === 'header' && record.place.segment === place.segment && record.place.offset === place.offset) {
    if (op >= v.found.lowest && record.header.id === prepare.header.id) v.confirmed.add(op);
  } else if (op >= v.found.lowest && record.state === 'none' && isBehind(end, place)) {
    const message = `op ${op} is whole, and its header record is missing`;
    report(v, { file, offset: place.offset, op, kind: 'header-missing', message });
  }
  if (!paddingZero) {
    report(v, { file, offset: place.offset, op, kind: 'padding', message: `bytes behind op ${op} are not zero` });
  }
}

/** Each piece that is neither a record nor zero: damage, or a write under way or cut off behind the durable end. */
function judgeStrays(v: Verification, done: Done<LogError>): void {
  let covered: { readonly segment: number; readonly end: number } = { segment: 0, end: 0 };
  const end = durableEnd(v.found);
  const judge = (damage: Damage, finished: Done<LogError>): void => {
    const { segment, offset } = damage;
    if (segment === covered.segment && offset < covered.end) return finished(ok(undefined));
    const next = (wholeBytes: number): void => {
      if (wholeBytes > 0) covered = { segment, end: offset + wholeBytes };
      else judgeStray(v, damage, end);
      finished(ok(undefined));
    };
    if (v.options.running) wholeRecordAt(v, damage, next);
    else next(0);
  };
  eachInTurn(v.strays, judge, done);
}

/** Bytes of the record that is whole there by now; 0 for none. */
function wholeRecordAt(v: Verification, { segment, offset }: Damage, done: (wholeBytes: number) => void): void {
  const { geometry, identity } = v.owner;
  const lengthBytes = Math.min(recordBytesMax, geometry.segmentBytes - offset);
  readTolerant(v.options.disk, fileName('segment', segment), offset, lengthBytes, (read) => {
    if (!read.ok) return done(0);
    const frame = decodeFrame(read.value, { segment, offset }, identity);
    if (frame === null || recordBytes(frame.lengthBytes) > lengthBytes) return done(0);
    done(decodeRecordBody(read.value, frame, identity) === null ? 0 : recordBytes(frame.lengthBytes));
  });
}

function judgeStray(v: Verification, damage: Damage, end: Location): void {
  const { segment, offset } = damage;
  const file = fileName('segment', segment);
  const op = claimant(v.found, damage);
  if (op !== null) {
    return report(v, { file, offset, op, kind: 'prepare', message: `the prepare of op ${op} is damaged` });
  }
  const behind = isBehind({ segment, offset, lengthBytes: 0 }, end);
  const from = isBehind(v.lastWhole, end) ? v.lastWhole : end;
  const distance = segment === from.segment ? offset - from.offset : offset;
  const isUnfinished = behind && distance <= unfinishedBytesMax && (damage.op !== null || v.options.running);
  if (isUnfinished) return void v.unfinished.push(damage);
  const known = damage.op === null ? {} : { op: damage.op };
  const message = 'bytes that belong to no whole record, where zeros should be';
  report(v, { file, offset, ...known, kind: 'stray-bytes', message });
}

/** Op whose header record names this place. */
function claimant(found: FoundSlots, damage: Damage): number | null {
  if (found.claim(damage.segment, damage.offset) === null) return null;
  for (let op = found.lowestRecorded; op <= found.highest; op++) {
    const record = found.header(op);
    if (record.state !== 'header') continue;
    if (record.place.segment === damage.segment && record.place.offset === damage.offset) return op;
  }
  return null;
}

/** Every header record must lead to its prepare; what lies damaged there was named already. */
function checkBodies(v: Verification): void {
  const named = new Set(v.problems.flatMap((problem) => (problem.kind === 'prepare' ? [problem.op] : [])));
  const segments = new Set(sequencesOf(v.files, 'segment'));
  for (let op = v.found.lowest; op <= v.found.highest; op++) {
    const record = v.found.header(op);
    if (record.state !== 'header' || v.confirmed.has(op) || named.has(op)) continue;
    const { segment, offset } = record.place;
    // Made since the directory was listed.
    if (v.options.running && !segments.has(segment)) continue;
    const file = fileName('segment', segment);
    report(v, { file, offset, op, kind: 'prepare', message: `op ${op} is not where its header record says` });
  }
}

function checkChain(v: Verification): void {
  const { chainTo } = v.options;
  if (chainTo === undefined) return;
  assert(chainTo >= 0, 'an op is not negative');
  for (let op = v.found.lowest + 1; op <= Math.min(chainTo, v.found.highest); op++) {
    const record = v.found.header(op);
    const below = v.found.header(op - 1);
    if (record.state !== 'header' || below.state !== 'header' || record.header.parent === below.header.id) continue;
    const { sequence, offset } = headerPlace(v.owner.geometry, op);
    const message = `op ${op} does not name op ${op - 1} as the one before it`;
    report(v, { file: fileName('headers', sequence), offset, op, kind: 'chain', message });
  }
}
