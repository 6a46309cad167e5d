import {
  assert,
  type CheckpointRef,
  type Checksum,
  ok,
  type Op,
  type Prepare,
  type PrepareHeader,
  unreachable,
} from '@kimberlite/base';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import { CheckpointFiles } from './checkpoint-files.ts';
import { CheckpointReceiver } from './checkpoint-receiver.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { inTurn } from './completion.ts';
import { FileAllocator, type FileAllocatorOptions } from './file-allocator.ts';
import { GroupCommit } from './group-commit.ts';
import { fileName, type Location, type LogIdentity, recordBytes, superblockFile } from './layout.ts';
import type { LocationIndex } from './location-index.ts';
import { decodeRecord } from './record.ts';
import { superblockBytes, type Superblock } from './superblock.ts';
import { Scrubber, type ScrubStep } from './scrubber.ts';
import { SuperblockWrites } from './superblock-writes.ts';
import { Trimming } from './trimming.ts';

/** An open log. Completions come after the call has returned; after a fatal error none comes. */
export interface Log {
  /** Ends when the prepare is on stable storage; its header record follows. Appends of different ops share syncs. */
  readonly append: (prepare: Prepare, done: () => void) => void;
  /** The prepare with that id, or null when the log does not hold it intact. */
  readonly read: (op: Op, id: Checksum, done: (prepare: Prepare | null) => void) => void;
  /** One at a time. `sequence` grows by the caller's count, for as long as the log is open. */
  readonly writeSuperblock: (sequence: number, payload: Uint8Array, done: () => void) => void;
  /**
   * Writes and syncs a checkpoint, one at a time. `content` gives pieces of any length, and is drawn a part's worth at a
   * time, as the disk can take it. Null: no space, and nothing is left of it.
   */
  readonly writeCheckpoint: (
    header: PrepareHeader,
    content: Iterator<Uint8Array>,
    done: (ref: CheckpointRef | null) => void,
  ) => void;
  /** Part `number`, from 0, checked against the manifest; null when it is not here intact. */
  readonly readCheckpointPart: (ref: CheckpointRef, number: number, done: (bytes: Uint8Array | null) => void) => void;
  /** Checked against the ref's checksum; null when it is not here intact. */
  readonly readManifest: (ref: CheckpointRef, done: (bytes: Uint8Array | null) => void) => void;
  /**
   * Begins to store a checkpoint that comes from peers, or goes on with it, after a restart too; one at a time, and
   * another one takes its place. `missing`: the parts that are not here intact, ascending; of a checkpoint that is
   * here and damaged, the damaged ones. Null: not the manifest of `ref`, or no space.
   */
  readonly receiveCheckpoint: (
    ref: CheckpointRef,
    manifest: Uint8Array,
    done: (missing: readonly number[] | null) => void,
  ) => void;
  /**
   * A part of the checkpoint that is being received. False: not what the manifest says, not being received, or no space;
   * nothing of it counts as stored. With the last one the checkpoint is whole and can be read.
   */
  readonly storeCheckpointPart: (
    ref: CheckpointRef,
    number: number,
    bytes: Uint8Array,
    done: (stored: boolean) => void,
  ) => void;
  /**
   * The log below `op`, and every checkpoint not in `keep` and no newer than those, may go: whole files, when nothing
   * above needs them, and only after the superblock says so. From the call on nothing below `op` is read, and an append below it ends unwritten.
   */
  readonly trim: (op: Op, keep: readonly CheckpointRef[]) => void;
  /**
   * Reads the next piece of all that is to last, and begins again behind the last one; one at a time. What the log knows
   * otherwise it writes again. A damaged prepare is as one that `read` found damaged: it is here again once it was
   * appended again. `checkpoints`: those that are relied on; a damaged one can be received.
   */
  readonly scrub: (checkpoints: readonly CheckpointRef[], done: (step: ScrubStep) => void) => void;
  /** Bytes of all files. */
  readonly usedBytes: () => number;
  /** True when there was no space to make the next file ahead of need: appends go on until the current one is full. */
  readonly isLowOnSpace: () => boolean;
  /** True while an append waits for room. It completes when there is some; reads and what is in place go on. */
  readonly isFull: () => boolean;
  /** Looks for room again now. Without it that happens only when files of the log itself have gone. */
  readonly tryAgain: () => void;
  /** Bytes of prepares that were appended and are not on the disk yet: whoever appends more than it takes holds them in memory. */
  readonly waitingBytes: () => number;
  /** Waits for what is under way. No call may follow. */
  readonly close: (done: () => void) => void;
}

export interface OpenLogOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly superblock: Superblock;
  readonly index: LocationIndex;
  /** Where damaged prepares lie, by op. */
  readonly damaged: ReadonlyMap<number, Location>;
  readonly segment: number;
  readonly offset: number;
  readonly existing: FileAllocatorOptions['existing'];
  /** Checkpoint files and their sizes. */
  readonly checkpoints: ReadonlyMap<string, number>;
  /** Appends wait for room; or go on again. */
  readonly onFull?: (full: boolean) => void;
  readonly onFatal: (error: Error) => void;
}

/** What a person has to do about a failed write or sync. What was acknowledged is on the other replicas as well. */
function afterFailure(code: DiskError['code']): string {
  const lost = 'If the directory cannot be read any more, this replica is lost: see `kimberlite recover`.';
  switch (code) {
    case 'read-only':
      return `The file system takes no writes; most are mounted read-only after an error of the device. Look at the kernel's log, repair or replace the disk, and start this node again. ${lost}`;
    case 'no-space':
      return 'There was no room to change a file in place, as on a copy-on-write file system. Make room, and start this node again.';
    case 'io':
      return `What the disk holds now is unknown, so this node stops rather than try again. Look at the kernel's log, replace a disk that fails, and start this node again: what is damaged is repaired from the others. ${lost}`;
    case 'missing':
    case 'exists':
    case 'short':
      return `A file of the data directory was removed, added or cut off under the running node. Find out by whom. ${lost}`;
    default:
      return unreachable(code);
  }
}

export class OpenLog implements Log {
  private readonly options: OpenLogOptions;
  private readonly commit: GroupCommit;
  private readonly files: FileAllocator;
  private readonly superblock: SuperblockWrites;
  private readonly checkpoints: CheckpointFiles;
  private readonly writer: CheckpointWriter;
  private readonly receiver: CheckpointReceiver;
  private readonly trimming: Trimming;
  private readonly scrubber: Scrubber;
  private superblockBusy = false;
  private callerSequence = -1;
  private state: 'open' | 'closing' | 'dead' = 'open';

  constructor(options: OpenLogOptions) {
    this.options = options;
    const { geometry } = options.superblock;
    const onFailure = (error: DiskError): void => this.fail(error);
    this.files = new FileAllocator({
      ...options,
      geometry,
      reserveBytes: () => this.checkpoints.reserveBytes(),
      onReady: () => this.commit.pump(),
      onFull: (full) => options.onFull?.(full),
      onFailure,
    });
    this.commit = new GroupCommit({ ...options, geometry, files: this.files, onFailure });
    this.superblock = new SuperblockWrites({ ...options, onFailure });
    this.checkpoints = new CheckpointFiles({ ...options, found: options.checkpoints });
    const checkpointOptions = { ...options, files: this.checkpoints, onFailure };
    this.writer = new CheckpointWriter(checkpointOptions);
    this.receiver = new CheckpointReceiver(checkpointOptions);
    const { files, commit, checkpoints, receiver, superblock } = this;
    this.trimming = new Trimming({ ...options, geometry, files, commit, checkpoints, receiver, superblock, onFailure });
    this.scrubber = new Scrubber({ ...options, geometry, files, commit, checkpoints, superblock, onFailure });
  }

  /** A failed write or sync is final: what the disk holds now is unknown (pitfall 27). */
  private fail(error: DiskError): void {
    if (this.state === 'dead') return;
    this.state = 'dead';
    const { commit, files, superblock, writer, receiver, trimming, scrubber } = this;
    for (const part of [commit, files, superblock, writer, receiver, trimming, scrubber]) part.stop();
    const what = `The disk failed (${error.code}, ${error.file}): ${error.message}`;
    this.options.onFatal(new Error(`${what}. ${afterFailure(error.code)}`));
  }

  /** Asks the disk for something small, so that an answer that is known already comes after the call has returned. */
  private later(answer: () => void): void {
    this.options.disk.size(superblockFile, this.alive(answer));
  }

  private alive<T>(done: (value: T) => void): (value: T) => void {
    return (value) => {
      if (this.state !== 'dead') done(value);
    };
  }

  private assertOpen(): void {
    assert(this.state !== 'closing', 'nothing is asked of a log that is being closed');
  }

  append(prepare: Prepare, done: () => void): void {
    this.assertOpen();
    assert(prepare.header.op >= 1, 'the root is never appended');
    assert(prepare.header.cluster === this.options.identity.cluster, 'a prepare is of this cluster');
    if (this.state !== 'open') return;
    // Its checkpoint is durable, which is more than a prepare could be here.
    if (prepare.header.op < this.trimming.lowest) return this.later(done);
    this.commit.append(prepare, done);
  }

  read(op: Op, id: Checksum, done: (prepare: Prepare | null) => void): void {
    if (this.state === 'dead') return;
    const { disk, index, identity } = this.options;
    const place = index.holds(op, id) ? index.place(op) : null;
    if (place === null) return this.later(() => done(null));
    const finish = this.alive(done);
    disk.read(fileName('segment', place.segment), place.offset, recordBytes(place.lengthBytes), (read) => {
      const prepare = read.ok ? decodeRecord(read.value, place, identity) : null;
      const intact = prepare !== null && prepare.header.id === id;
      // It may have been trimmed meanwhile, and its file removed.
      const isDamaged = !intact && index.holds(op, id);
      if (isDamaged) this.options.mark?.('read-found-damage');
      // The next append of this prepare writes it anew, behind everything else.
      if (isDamaged) index.clear(op);
      if (isDamaged) this.scrubber.noteDamage(op, place);
      finish(intact ? prepare : null);
    });
  }

  writeSuperblock(sequence: number, payload: Uint8Array, done: () => void): void {
    this.assertOpen();
    assert(!this.superblockBusy, 'one superblock write at a time');
    assert(sequence > this.callerSequence, 'superblock writes are numbered upwards');
    if (this.state === 'dead') return;
    this.superblockBusy = true;
    this.callerSequence = sequence;
    this.superblock.write({ payload: payload.slice() }, () => {
      this.superblockBusy = false;
      done();
    });
  }

  writeCheckpoint(
    header: PrepareHeader,
    content: Iterator<Uint8Array>,
    done: (ref: CheckpointRef | null) => void,
  ): void {
    this.assertOpen();
    assert(header.cluster === this.options.identity.cluster, 'a checkpoint is of this cluster');
    if (this.state === 'open') this.writer.write(header, content, done);
  }

  readCheckpointPart(ref: CheckpointRef, number: number, done: (bytes: Uint8Array | null) => void): void {
    if (this.state !== 'dead') this.checkpoints.readPart(ref, number, this.alive(done));
  }

  readManifest(ref: CheckpointRef, done: (bytes: Uint8Array | null) => void): void {
    if (this.state !== 'dead') this.checkpoints.readManifest(ref, this.alive(done));
  }

  receiveCheckpoint(ref: CheckpointRef, manifest: Uint8Array, done: (missing: readonly number[] | null) => void): void {
    this.assertOpen();
    if (this.state === 'open') this.receiver.receive(ref, manifest, done);
  }

  storeCheckpointPart(ref: CheckpointRef, number: number, bytes: Uint8Array, done: (stored: boolean) => void): void {
    this.assertOpen();
    if (this.state === 'open') this.receiver.store(ref, number, bytes, done);
  }

  trim(op: Op, keep: readonly CheckpointRef[]): void {
    this.assertOpen();
    if (this.state === 'open') this.trimming.trim(op, keep);
  }

  scrub(checkpoints: readonly CheckpointRef[], done: (step: ScrubStep) => void): void {
    this.assertOpen();
    if (this.state === 'open') this.scrubber.step(checkpoints, done);
  }

  usedBytes(): number {
    return superblockBytes + this.files.usedBytes() + this.checkpoints.usedBytes();
  }

  isLowOnSpace(): boolean {
    return this.files.lowOnSpace;
  }

  isFull(): boolean {
    return this.files.isFull;
  }

  tryAgain(): void {
    if (this.state === 'open') this.files.freed();
  }

  waitingBytes(): number {
    return this.commit.waitingBytes();
  }

  close(done: () => void): void {
    assert(this.state !== 'closing', 'a log is closed once');
    if (this.state === 'dead') return;
    this.state = 'closing';
    const { commit, writer, receiver, trimming, superblock, files, scrubber } = this;
    const parts: readonly ((next: () => void) => void)[] = [
      (next) => scrubber.close(next),
      (next) => commit.whenIdle(next),
      (next) => writer.close(next),
      (next) => receiver.close(next),
      (next) => trimming.whenIdle(next),
      (next) => superblock.whenIdle(next),
      (next) => files.whenIdle(next),
    ];
    inTurn<never>(
      parts.map((part) => (next) => part(() => next(ok(undefined)))),
      () => this.later(done),
    );
  }
}
