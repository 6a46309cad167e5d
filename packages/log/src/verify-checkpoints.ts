import {
  type CheckpointManifest,
  type CheckpointRef,
  checkpointPartLength,
  decodeManifest,
  err,
  manifestBytes,
  ok,
  type Result,
} from '@kimberlite/base';
import { checkpointFileBytes, decodeCheckpointHeader, manifestOffset, partOffset } from './checkpoint-file.ts';
import { type Done, eachInTurn } from './completion.ts';
import type { Disk } from './disk.ts';
import { type InspectOptions, readOwner } from './inspect.ts';
import { alignToBlock, blockBytes, isZero, type LogIdentity, parseFileName } from './layout.ts';
import { diskFailure, type LogError } from './log-error.ts';
import { readTolerant } from './tolerant-read.ts';

export interface CheckpointProblem {
  readonly file: string;
  readonly offset: number;
  readonly op: number;
  readonly kind: 'size' | 'checkpoint-header' | 'checkpoint-part' | 'checkpoint-manifest' | 'padding';
  readonly message: string;
}

export interface CheckpointInspection {
  readonly file: string;
  readonly op: number;
  /** Null when neither header block nor manifest can be read. */
  readonly ref: CheckpointRef | null;
  readonly sizeBytes: number;
  readonly problems: readonly CheckpointProblem[];
}

interface Checking {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly file: string;
  readonly op: number;
  readonly sizeBytes: number;
  readonly problems: CheckpointProblem[];
  ref: CheckpointRef | null;
}

/** Where the manifest lies in a file of that size, whose header block cannot say it. Null for sizes no checkpoint has. */
function findManifest(sizeBytes: number): { readonly offset: number; readonly lengthBytes: number } | null {
  const blocks = sizeBytes / blockBytes - 1;
  for (let manifestBlocks = 1; manifestBlocks <= blocks; manifestBlocks++) {
    const content = (blocks - manifestBlocks) * blockBytes;
    const lengthBytes = manifestBytes(content);
    // The last block of the content may be partly padding, which changes the number of parts no more than this does.
    if (alignToBlock(lengthBytes) === manifestBlocks * blockBytes) return { offset: blockBytes + content, lengthBytes };
  }
  return null;
}

const note = (
  { file, op, problems }: Checking,
  kind: CheckpointProblem['kind'],
  offset: number,
  message: string,
): void => void problems.push({ file, offset, op, kind, message });

/**
 * Checks every byte of a checkpoint's file: header block, each part, manifest, and the zeros between them. Null when
 * the file is gone, as it may be beside a running node.
 */
export function inspectCheckpoint(
  disk: Disk,
  identity: LogIdentity,
  file: string,
  done: (result: Result<CheckpointInspection | null, LogError>) => void,
): void {
  const known = parseFileName(file);
  const op = known?.type === 'checkpoint' || known?.type === 'receiving' ? known.op : 0;
  disk.size(file, (size) => {
    if (!size.ok) return done(size.error.code === 'missing' ? ok(null) : err(diskFailure(size.error)));
    const checking: Checking = { disk, identity, file, op, sizeBytes: size.value, problems: [], ref: null };
    const finish: Done<LogError> = (result) => {
      if (!result.ok) return done(result.error.cause?.code === 'missing' ? ok(null) : result);
      const { ref, sizeBytes, problems } = checking;
      done(ok({ file, op, ref, sizeBytes, problems }));
    };
    if (size.value < blockBytes || size.value % blockBytes !== 0) {
      note(checking, 'size', 0, `has ${size.value} bytes, which no checkpoint has`);
      return finish(ok(undefined));
    }
    checkHeader(checking, finish);
  });
}

/** Every checkpoint file of a directory, ascending by op. */
export function inspectCheckpoints(
  options: InspectOptions,
  done: (result: Result<readonly CheckpointInspection[], LogError>) => void,
): void {
  const { disk } = options;
  readOwner(options, (owner) => {
    if (!owner.ok) return done(owner);
    disk.list((files) => {
      if (!files.ok) return done(err(diskFailure(files.error)));
      const found: CheckpointInspection[] = [];
      const inspectOne = (file: string, next: Done<LogError>): void =>
        inspectCheckpoint(disk, owner.value.identity, file, (inspected) => {
          if (inspected.ok && inspected.value !== null) found.push(inspected.value);
          next(inspected.ok ? ok(undefined) : inspected);
        });
      const names = files.value.filter((file) => parseFileName(file)?.type === 'checkpoint');
      eachInTurn(names, inspectOne, (result) => done(result.ok ? ok(found) : result));
    });
  });
}

function checkHeader(checking: Checking, done: Done<LogError>): void {
  const { disk, identity, file, op, sizeBytes } = checking;
  readTolerant(disk, file, 0, blockBytes, (read) => {
    if (!read.ok) return done(err(diskFailure(read.error)));
    checking.ref = decodeCheckpointHeader(read.value, op, identity);
    if (checking.ref === null) {
      note(checking, 'checkpoint-header', 0, 'its header block is damaged, or of another place, replica or cluster');
      const place = findManifest(sizeBytes);
      return place === null ? done(ok(undefined)) : checkManifest(checking, place, done);
    }
    const { contentBytes } = checking.ref;
    const expected = checkpointFileBytes(contentBytes);
    if (expected !== sizeBytes) {
      note(checking, 'size', 0, `has ${sizeBytes} bytes, should have ${expected}`);
      return done(ok(undefined));
    }
    const place = { offset: manifestOffset(contentBytes), lengthBytes: manifestBytes(contentBytes) };
    checkManifest(checking, place, done);
  });
}

function checkManifest(
  checking: Checking,
  place: { readonly offset: number; readonly lengthBytes: number },
  done: Done<LogError>,
): void {
  const { disk, identity, file } = checking;
  readTolerant(disk, file, place.offset, alignToBlock(place.lengthBytes), (read) => {
    if (!read.ok) return done(err(diskFailure(read.error)));
    const bytes = read.value.subarray(0, place.lengthBytes);
    const checksum = identity.hasher(bytes);
    const decoded = decodeManifest(bytes, identity.hasher);
    const { ref } = checking;
    if (!decoded.ok || (ref !== null && ref.checksum !== checksum)) {
      note(checking, 'checkpoint-manifest', place.offset, 'the list of its parts is damaged');
      return done(ok(undefined));
    }
    if (!isZero(read.value, place.lengthBytes)) {
      note(checking, 'padding', place.offset, 'bytes behind the list of its parts are not zero');
    }
    const { header, contentBytes } = decoded.value;
    checking.ref ??= { header, contentBytes, checksum };
    checkParts(checking, decoded.value, done);
  });
}

function checkParts(checking: Checking, manifest: CheckpointManifest, done: Done<LogError>): void {
  const { disk, identity, file } = checking;
  const checkPart = (number: number, next: Done<LogError>): void => {
    const lengthBytes = checkpointPartLength(manifest.contentBytes, number);
    readTolerant(disk, file, partOffset(number), alignToBlock(lengthBytes), (read) => {
      if (!read.ok) return next(err(diskFailure(read.error)));
      if (identity.hasher(read.value.subarray(0, lengthBytes)) !== manifest.parts[number]) {
        note(checking, 'checkpoint-part', partOffset(number), `part ${number} is damaged`);
      } else if (!isZero(read.value, lengthBytes)) {
        note(checking, 'padding', partOffset(number), 'bytes behind its content are not zero');
      }
      next(ok(undefined));
    });
  };
  eachInTurn(
    manifest.parts.map((_, number) => number),
    checkPart,
    done,
  );
}
