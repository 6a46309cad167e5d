import {
  assert,
  type CheckpointRef,
  checkpointPartLength,
  checkpointParts,
  decodeManifest,
  err,
  ok,
  type Result,
  sameCheckpoint,
} from '@kimberlite/base';
import {
  checkpointFileBytes,
  decodeCheckpointHeader,
  encodeCheckpointHeader,
  isPart,
  manifestOffset,
  padded,
  partOffset,
} from './checkpoint-file.ts';
import type { CheckpointFiles } from './checkpoint-files.ts';
import { type Done, eachInTurn, inTurn, type Task } from './completion.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import {
  blockBytes,
  checkpointFile,
  type LogIdentity,
  parseFileName,
  receivingFile,
  superblockFile,
  unfinishedName,
} from './layout.ts';
import { readTolerant } from './tolerant-read.ts';

export interface CheckpointReceiverOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly files: CheckpointFiles;
  readonly onFailure: (error: DiskError) => void;
}

interface Receiving {
  readonly ref: CheckpointRef;
  readonly manifest: Uint8Array;
  /** Either of the checkpoint's two names: its own when damaged parts are replaced. */
  readonly file: string;
  readonly missing: Set<number>;
  /** Parts being written, and who waits for each. */
  readonly flying: Map<number, ((stored: boolean) => void)[]>;
}

type Missing = readonly number[] | null;

/**
 * Stores a checkpoint that comes from peers, its parts in any order. The file has its full size, its header block and
 * its manifest before it gets a name, so parts never lack room and what is there can be told after a restart: whatever
 * has the right checksum. A part is durable when it is called stored.
 */
export class CheckpointReceiver {
  private readonly options: CheckpointReceiverOptions;
  private receiving: Receiving | null = null;
  /** Counts what was asked to be received, and the end. */
  private turn = 0;
  /** Preparing to receive, one at a time; and what waits for the disk to be quiet. */
  private preparing = false;
  private waiting: (() => void)[] = [];
  private flights = 0;
  private stopped = false;

  constructor(options: CheckpointReceiverOptions) {
    this.options = options;
  }

  receive(ref: CheckpointRef, manifest: Uint8Array, done: (missing: Missing) => void): void {
    if (!this.isManifestOf(ref, manifest)) return this.later(() => done(null));
    this.receiving = null;
    this.turn += 1;
    const { turn } = this;
    this.whenQuiet(() => this.prepare({ ref, manifest, turn, done }));
  }

  store(ref: CheckpointRef, number: number, bytes: Uint8Array, done: (stored: boolean) => void): void {
    const { receiving } = this;
    const { identity, disk } = this.options;
    if (receiving === null || !sameCheckpoint(receiving.ref, ref)) return this.later(() => done(false));
    const inRange = number >= 0 && number < checkpointParts(ref.contentBytes);
    if (!inRange || !isPart(receiving.manifest, ref, number, bytes, identity)) return this.later(() => done(false));
    if (!receiving.missing.has(number)) return this.later(() => done(true));
    const flying = receiving.flying.get(number);
    if (flying !== undefined) {
      flying.push(done);
      return;
    }
    receiving.flying.set(number, [done]);
    this.flights += 1;
    disk.writeDurable(receiving.file, partOffset(number), padded(bytes), (written) => {
      if (this.stopped) return;
      if (!written.ok && written.error.code !== 'no-space') return this.options.onFailure(written.error);
      this.stored(receiving, number, written.ok);
    });
  }

  /** Removes a file while nothing is stored in it, or looked at to go on with. */
  remove(file: string, remove: Task<DiskError>, done: Done<DiskError>): void {
    if (this.receiving?.file === file) this.receiving = null;
    this.whenQuiet(() => {
      if (this.receiving?.file === file) this.receiving = null;
      this.preparing = true;
      remove((result) => {
        if (this.stopped) return;
        this.preparing = false;
        done(result);
        this.pump();
      });
    });
  }

  /** Being received now, under this name. */
  isReceiving(file: string): boolean {
    return this.receiving?.file === file;
  }

  /** Nothing completes any more. */
  stop(): void {
    this.stopped = true;
  }

  close(done: () => void): void {
    this.receiving = null;
    this.turn += 1;
    this.whenQuiet(done);
  }

  private later(answer: () => void): void {
    this.options.disk.size(superblockFile, () => {
      if (!this.stopped) answer();
    });
  }

  private whenQuiet(then: () => void): void {
    this.waiting.push(then);
    this.pump();
  }

  private pump(): void {
    while (!this.preparing && this.flights === 0 && !this.stopped) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      next();
    }
  }

  private isManifestOf(ref: CheckpointRef, manifest: Uint8Array): boolean {
    const { identity } = this.options;
    if (identity.hasher(manifest) !== ref.checksum) return false;
    const decoded = decodeManifest(manifest, identity.hasher);
    if (!decoded.ok) return false;
    const { header, contentBytes } = decoded.value;
    return header.id === ref.header.id && header.cluster === identity.cluster && contentBytes === ref.contentBytes;
  }

  private prepare(wanted: {
    readonly ref: CheckpointRef;
    readonly manifest: Uint8Array;
    readonly turn: number;
    readonly done: (missing: Missing) => void;
  }): void {
    const { ref, manifest, turn, done } = wanted;
    const { files, onFailure } = this.options;
    const { op } = ref.header;
    this.preparing = true;
    const others = files.names().filter((file) => {
      const known = parseFileName(file);
      return known?.type === 'receiving' && known.op !== op;
    });
    let prepared: Receiving | null = null;
    const adopt =
      (file: string): Task<DiskError> =>
      (next) => {
        if (prepared !== null || files.entry(file) === null) return next(ok(undefined));
        this.adopt(file, ref, manifest, (result) => {
          if (result.ok) prepared = result.value;
          next(result.ok ? ok(undefined) : result);
        });
      };
    const begin: Task<DiskError> = (next) => {
      const found = prepared;
      if (found !== null) return next(ok(undefined));
      this.begin(ref, manifest, (result) => {
        if (result.ok) prepared = result.value;
        next(result.ok ? ok(undefined) : result);
      });
    };
    const finish: Task<DiskError> = (next) => {
      if (prepared === null || prepared.missing.size > 0) return next(ok(undefined));
      this.finish(prepared, next);
    };
    const tasks: readonly Task<DiskError>[] = [
      (next) => eachInTurn(others, (file, removed) => files.remove(file, removed), next),
      adopt(checkpointFile(op)),
      adopt(receivingFile(op)),
      begin,
      finish,
    ];
    inTurn<DiskError>(
      tasks.map((task) => (next: Done<DiskError>) => {
        if (!this.stopped) task(next);
      }),
      (result) => {
        if (this.stopped) return;
        if (!result.ok && result.error.code !== 'no-space') return onFailure(result.error);
        if (!result.ok) return this.discard(op, () => this.prepared(null, turn, done));
        this.prepared(prepared, turn, done);
      },
    );
  }

  private prepared(prepared: Receiving | null, turn: number, done: (missing: Missing) => void): void {
    this.preparing = false;
    // Another receive, or the end, that came meanwhile goes first; a file that waits to be removed is no reason.
    if (turn === this.turn && prepared !== null && prepared.missing.size > 0) this.receiving = prepared;
    done(prepared === null ? null : [...prepared.missing].sort((a, b) => a - b));
    this.pump();
  }

  private discard(op: number, done: () => void): void {
    this.options.mark?.('checkpoint-no-space');
    this.options.files.remove(unfinishedName(receivingFile(op)), (removed) => {
      if (this.stopped) return;
      if (removed.ok) done();
      else this.options.onFailure(removed.error);
    });
  }

  /** A file that is there already, if it is one of this checkpoint: what is intact in it need not come again. */
  private adopt(
    file: string,
    ref: CheckpointRef,
    manifest: Uint8Array,
    done: (result: Result<Receiving | null, DiskError>) => void,
  ): void {
    const { disk, files, identity } = this.options;
    if (files.entry(file)?.sizeBytes !== checkpointFileBytes(ref.contentBytes)) return done(ok(null));
    const missing = new Set<number>();
    const receiving: Receiving = { ref, manifest, file, missing, flying: new Map() };
    this.adoptHead(receiving, (adopted) => {
      if (!adopted.ok) return done(adopted);
      if (!adopted.value) return done(ok(null));
      this.options.mark?.('checkpoint-resumed');
      const numbers = Array.from({ length: checkpointParts(ref.contentBytes) }, (_, number) => number);
      const check = (number: number, next: Done<DiskError>): void =>
        disk.read(file, partOffset(number), checkpointPartLength(ref.contentBytes, number), (read) => {
          if (this.stopped) return;
          if (!read.ok || !isPart(manifest, ref, number, read.value, identity)) missing.add(number);
          next(ok(undefined));
        });
      eachInTurn(numbers, check, (result) => done(result.ok ? ok(receiving) : err(result.error)));
    });
  }

  /** Whether header block or manifest say that it is this checkpoint's file; the other one is then written again. */
  private adoptHead({ file, ref, manifest }: Receiving, done: (result: Result<boolean, DiskError>) => void): void {
    const { disk, files, identity } = this.options;
    const header = encodeCheckpointHeader(ref, identity);
    const write =
      (offset: number, bytes: Uint8Array): Task<DiskError> =>
      (next) =>
        disk.writeDurable(file, offset, padded(bytes), next);
    // After a kill there are writes that can be read and are not durable.
    disk.sync(file, (synced) => {
      if (!synced.ok) return done(err(synced.error));
      readTolerant(disk, file, 0, blockBytes, (read) => {
        if (!read.ok) return done(err(read.error));
        const found = decodeCheckpointHeader(read.value, ref.header.op, identity);
        const headerIntact = found !== null && sameCheckpoint(found, ref);
        // Whole and of another one: not to be written into, whatever else it holds.
        if (found !== null && !headerIntact) return done(ok(false));
        files.readManifestOf(file, ref, (bytes) => {
          if (bytes === null && !headerIntact) return done(ok(false));
          const writes: Task<DiskError>[] = [];
          if (!headerIntact) writes.push(write(0, header));
          if (bytes === null) writes.push(write(manifestOffset(ref.contentBytes), manifest));
          inTurn(writes, (written) => done(written.ok ? ok(true) : err(written.error)));
        });
      });
    });
  }

  private begin(ref: CheckpointRef, manifest: Uint8Array, done: (result: Result<Receiving, DiskError>) => void): void {
    const { disk, files, identity } = this.options;
    const file = receivingFile(ref.header.op);
    const unfinished = unfinishedName(file);
    const sizeBytes = checkpointFileBytes(ref.contentBytes);
    const missing = new Set(Array.from({ length: checkpointParts(ref.contentBytes) }, (_, number) => number));
    inTurn<DiskError>(
      [
        (next) => files.remove(file, next),
        (next) => files.remove(unfinished, next),
        (next) => disk.create(unfinished, sizeBytes, next),
        (next) => disk.write(unfinished, 0, encodeCheckpointHeader(ref, identity), next),
        (next) => disk.write(unfinished, manifestOffset(ref.contentBytes), padded(manifest), next),
        (next) => disk.sync(unfinished, next),
        (next) => {
          files.set(unfinished, sizeBytes);
          files.rename(unfinished, file, next);
        },
        (next) => disk.syncDirectory(next),
      ],
      (result) => done(result.ok ? ok({ ref, manifest, file, missing, flying: new Map() }) : err(result.error)),
    );
  }

  private stored(receiving: Receiving, number: number, isStored: boolean): void {
    const waiters = receiving.flying.get(number) ?? [];
    receiving.flying.delete(number);
    if (isStored) receiving.missing.delete(number);
    const answer = (): void => {
      this.flights -= 1;
      for (const waiter of waiters) waiter(isStored);
      this.pump();
    };
    const isLast = isStored && receiving.missing.size === 0 && receiving === this.receiving;
    if (!isLast) return answer();
    this.finish(receiving, (finished) => {
      if (this.stopped) return;
      if (!finished.ok) return this.options.onFailure(finished.error);
      if (this.receiving === receiving) this.receiving = null;
      answer();
    });
  }

  /** All parts are durable. */
  private finish({ file, ref }: Receiving, done: Done<DiskError>): void {
    const { disk, files, mark } = this.options;
    const name = checkpointFile(ref.header.op);
    assert(file === name || file === receivingFile(ref.header.op), 'a checkpoint has one of its two names');
    mark?.('checkpoint-received');
    if (file === name) return done(ok(undefined));
    inTurn<DiskError>([(next) => files.rename(file, name, next), (next) => disk.syncDirectory(next)], done);
  }
}
