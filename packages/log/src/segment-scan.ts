import { assert, err, ok, type Prepare, type Result } from '@kimberlite/base';
import type { Disk, DiskError } from './disk.ts';
import {
  blockBytes,
  fileName,
  isZero,
  type Location,
  type LogIdentity,
  recordBytes,
  recordBytesMax,
} from './layout.ts';
import { decodeFrame, decodeRecordBody, isPaddingZero } from './record.ts';
import { readTolerant } from './tolerant-read.ts';

/** Bytes read at once; the largest record fits. */
const windowBytes = 4_194_304;
assert(recordBytesMax <= windowBytes, 'the largest record fits a window of the scan');

/** Bytes of a segment that are neither zero nor an intact record. */
export interface Damage {
  readonly segment: number;
  readonly offset: number;
  readonly lengthBytes: number;
  /** Op of the frame when that is whole, so that only the prepare behind it is damaged. */
  readonly op: number | null;
}

export interface ScanVisitor {
  readonly onRecord: (prepare: Prepare, place: Location, paddingZero: boolean) => void;
  readonly onDamage: (damage: Damage) => void;
  /** Length of the prepare that a header record puts at this offset, if one does. */
  readonly claim: (offset: number) => number | null;
}

export interface ScanOptions {
  readonly disk: Disk;
  readonly segment: number;
  readonly sizeBytes: number;
  readonly identity: LogIdentity;
  readonly visitor: ScanVisitor;
}

/** One block or record at `at` of the window. Returns how far to go on, or 0 when the record leaves the window. */
function scanAt(options: ScanOptions, window: Uint8Array, at: number, windowOffset: number): number {
  const { segment, identity, visitor } = options;
  const offset = windowOffset + at;
  if (isZero(window, at, at + blockBytes)) return blockBytes;
  const frame = decodeFrame(window.subarray(at), { segment, offset }, identity);
  const claimed = frame === null ? visitor.claim(offset) : null;
  const lengthBytes = frame?.lengthBytes ?? claimed;
  const extent = lengthBytes === null ? blockBytes : recordBytes(lengthBytes);
  if (offset + extent > options.sizeBytes) {
    visitor.onDamage({ segment, offset, lengthBytes: blockBytes, op: null });
    return blockBytes;
  }
  if (at + extent > window.length) return 0;
  const record = window.subarray(at, at + extent);
  const prepare = frame === null ? null : decodeRecordBody(record, frame, identity);
  if (frame === null || prepare === null) {
    visitor.onDamage({ segment, offset, lengthBytes: extent, op: frame?.op ?? null });
  } else {
    visitor.onRecord(
      prepare,
      { segment, offset, lengthBytes: frame.lengthBytes },
      isPaddingZero(record, frame.lengthBytes),
    );
  }
  return extent;
}

/** Visits what lies whole in a window that begins at a record or block. Returns how far that went. */
export function scanWindow(options: ScanOptions, window: Uint8Array, windowOffset: number): number {
  let at = 0;
  while (at < window.length) {
    const step = scanAt(options, window, at, windowOffset);
    if (step === 0) break;
    at += step;
  }
  return at;
}

/** Visits everything in a segment behind its file header, in order. Bytes handed out are views that do not last. */
export function scanSegment(options: ScanOptions, done: (result: Result<void, DiskError>) => void): void {
  const file = fileName('segment', options.segment);
  const scanFrom = (offset: number): void => {
    if (offset >= options.sizeBytes) return done(ok(undefined));
    const length = Math.min(windowBytes, options.sizeBytes - offset);
    readTolerant(options.disk, file, offset, length, (read) => {
      if (!read.ok) return done(err(read.error));
      scanFrom(offset + scanWindow(options, read.value, offset));
    });
  };
  scanFrom(blockBytes);
}
