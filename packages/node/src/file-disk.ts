import * as fs from 'node:fs';
import * as path from 'node:path';
import { assert, err, ok, type Result } from '@kimberlite/base';
import type { Completion, Disk, DiskError } from '@kimberlite/log';

export interface FileDisk extends Disk {
  /** Waits for what is under way and closes every file. No call may follow. */
  readonly close: (done: () => void) => void;
}

export interface FileDiskOptions {
  readonly directory: string;
  /** For reading beside a running node: files are opened for reading, and every change fails with `read-only`. */
  readonly readOnly?: boolean;
}

/** Files kept open. The log touches few at a time; reads of old segments are what turns over. */
const openFilesMax = 64;
/** Zeros written, and synced, at once while a file is created: keeps the appends' own syncs short meanwhile. */
const zerosBytes = 1_048_576;
const zeros = new Uint8Array(zerosBytes);

const codes: Readonly<Record<string, DiskError['code']>> = {
  ENOENT: 'missing',
  EEXIST: 'exists',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
  EROFS: 'read-only',
  EACCES: 'read-only',
  EPERM: 'read-only',
};

interface Handle {
  readonly fd: number;
  /** Opened so that every write is durable when it returns. */
  readonly durable: boolean;
  /** Calls under way; only idle handles are closed to make room. */
  users: number;
  lastUse: number;
  /** The name is gone or another file's; the last call under way closes it. */
  forgotten: boolean;
}

/**
 * Linux syncs within the write itself, which saves a second call. Elsewhere the flag is missing or means less than a
 * sync does.
 */
const writesDurably = process.platform === 'linux';
const readWrite = writesDurably ? fs.constants.O_RDWR | fs.constants.O_DSYNC : fs.constants.O_RDWR;

type Opened = (result: Result<Handle, DiskError>) => void;

class FileDiskImpl implements FileDisk {
  private readonly directory: string;
  private readonly readOnly: boolean;
  private readonly handles = new Map<string, Handle>();
  private readonly opening = new Map<string, Opened[]>();
  /** Created or grown here since their last sync, which has to cover the length too: counts up with each growth. */
  private readonly fresh = new Map<string, number>();
  private growths = 0;
  private uses = 0;
  private pending = 0;
  private onIdle: (() => void) | null = null;

  constructor(options: FileDiskOptions) {
    this.directory = options.directory;
    this.readOnly = options.readOnly ?? false;
  }

  private error(file: string, cause: NodeJS.ErrnoException): DiskError {
    const place = path.join(this.directory, file);
    return { code: codes[cause.code ?? ''] ?? 'io', file, message: `${place}: ${cause.message}` };
  }

  private fail(
    code: DiskError['code'],
    file: string,
    message: string,
  ): { readonly ok: false; readonly error: DiskError } {
    return err({ code, file, message: `${path.join(this.directory, file)}: ${message}` });
  }

  private path(file: string): string {
    assert(
      file.length > 0 && !/[/\\]/.test(file) && file !== '.' && file !== '..',
      'files are plain names in the directory',
    );
    return path.join(this.directory, file);
  }

  /** Counts a call as under way until its completion, which comes after the call has returned. */
  private tracked<T>(done: Completion<T>): Completion<T> {
    this.pending += 1;
    let returned = false;
    process.nextTick(() => {
      returned = true;
    });
    const finish = (result: Result<T, DiskError>): void => {
      this.pending -= 1;
      done(result);
      if (this.pending === 0 && this.onIdle !== null) this.closeAll(this.onIdle);
    };
    return (result) => {
      if (returned) finish(result);
      else process.nextTick(finish, result);
    };
  }

  private refuseChange<T>(file: string, done: Completion<T>): boolean {
    if (this.readOnly) done(this.fail('read-only', file, 'opened for reading only'));
    return this.readOnly;
  }

  /** Runs `use` with the file's handle, which stays open until `use` has called what it was given. */
  private withHandle<T>(file: string, done: Completion<T>, use: (handle: Handle, finish: Completion<T>) => void): void {
    this.open(file, (opened) => {
      if (!opened.ok) return done(opened);
      const handle = opened.value;
      handle.users += 1;
      this.uses += 1;
      handle.lastUse = this.uses;
      use(handle, (result) => {
        this.release(handle);
        done(result);
      });
    });
  }

  private open(file: string, opened: Opened): void {
    const handle = this.handles.get(file);
    if (handle !== undefined) return opened(ok(handle));
    const waiting = this.opening.get(file);
    if (waiting !== undefined) {
      waiting.push(opened);
      return;
    }
    const waiters = [opened];
    this.opening.set(file, waiters);
    fs.open(this.path(file), this.readOnly ? fs.constants.O_RDONLY : readWrite, (cause, fd) => {
      this.opening.delete(file);
      const result = cause === null ? ok(this.keep(file, fd, writesDurably)) : err(this.error(file, cause));
      for (const waiter of waiters) waiter(result);
    });
  }

  private keep(file: string, fd: number, durable: boolean): Handle {
    const handle: Handle = { fd, durable, users: 0, lastUse: this.uses, forgotten: false };
    if (this.handles.size >= openFilesMax) this.closeIdlest();
    this.handles.set(file, handle);
    return handle;
  }

  private closeIdlest(): void {
    let idlest: string | null = null;
    let lastUse = Number.POSITIVE_INFINITY;
    for (const [file, handle] of this.handles) {
      if (handle.users > 0 || handle.lastUse >= lastUse || this.fresh.has(file)) continue;
      idlest = file;
      lastUse = handle.lastUse;
    }
    if (idlest !== null) this.forget(idlest);
  }

  private forget(file: string): void {
    const handle = this.handles.get(file);
    if (handle === undefined) return;
    this.handles.delete(file);
    handle.forgotten = true;
    if (handle.users === 0) fs.close(handle.fd, () => {});
  }

  /** A file may be removed or replaced while a read of it is under way, which goes on undisturbed. */
  private release(handle: Handle): void {
    handle.users -= 1;
    if (handle.forgotten && handle.users === 0) fs.close(handle.fd, () => {});
  }

  private grew(file: string): void {
    this.growths += 1;
    this.fresh.set(file, this.growths);
  }

  list(completion: Completion<readonly string[]>): void {
    const done = this.tracked(completion);
    fs.readdir(this.directory, { withFileTypes: true }, (cause, entries) => {
      if (cause !== null) return done(err(this.error('', cause)));
      done(
        ok(
          entries
            .filter((entry) => entry.isFile())
            .map((entry) => entry.name)
            .sort(),
        ),
      );
    });
  }

  create(file: string, sizeBytes: number, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(file, done)) return;
    fs.open(this.path(file), 'wx+', 0o600, (cause, fd) => {
      if (cause !== null) return done(err(this.error(file, cause)));
      const handle = this.keep(file, fd, false);
      handle.users += 1;
      this.grew(file);
      this.writeZeros(file, fd, 0, sizeBytes, (result) => {
        this.release(handle);
        done(result);
      });
    });
  }

  private writeZeros(file: string, fd: number, offset: number, sizeBytes: number, done: Completion<void>): void {
    if (offset >= sizeBytes) return done(ok(undefined));
    const piece = zeros.subarray(0, Math.min(zerosBytes, sizeBytes - offset));
    this.writeAll(file, fd, offset, piece, (written) => {
      if (!written.ok) return done(written);
      if (offset + piece.length >= sizeBytes) return done(ok(undefined));
      fs.fdatasync(fd, (cause) => {
        if (cause !== null) return done(err(this.error(file, cause)));
        this.writeZeros(file, fd, offset + piece.length, sizeBytes, done);
      });
    });
  }

  size(file: string, completion: Completion<number>): void {
    const done = this.tracked(completion);
    fs.stat(this.path(file), (cause, stats) => done(cause === null ? ok(stats.size) : err(this.error(file, cause))));
  }

  read(file: string, offset: number, lengthBytes: number, completion: Completion<Uint8Array>): void {
    this.withHandle<Uint8Array>(file, this.tracked(completion), ({ fd }, finish) => {
      const bytes = new Uint8Array(lengthBytes);
      const readFrom = (at: number): void => {
        if (at >= lengthBytes) return finish(ok(bytes));
        fs.read(fd, bytes, at, lengthBytes - at, offset + at, (cause, count) => {
          if (cause !== null) return finish(err(this.error(file, cause)));
          if (count === 0) return finish(this.fail('short', file, `ends before ${offset + lengthBytes}`));
          readFrom(at + count);
        });
      };
      readFrom(0);
    });
  }

  write(file: string, offset: number, bytes: Uint8Array, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(file, done)) return;
    this.withHandle<void>(file, done, ({ fd }, finish) => this.writeAll(file, fd, offset, bytes, finish));
  }

  append(file: string, bytes: Uint8Array, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(file, done)) return;
    this.withHandle<void>(file, done, ({ fd }, finish) => {
      fs.fstat(fd, (cause, stats) => {
        if (cause !== null) return finish(err(this.error(file, cause)));
        this.grew(file);
        this.writeAll(file, fd, stats.size, bytes, finish);
      });
    });
  }

  writeDurable(file: string, offset: number, bytes: Uint8Array, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(file, done)) return;
    this.withHandle<void>(file, done, (handle, finish) => {
      this.writeAll(file, handle.fd, offset, bytes, (written) => {
        if (!written.ok || handle.durable) return finish(written);
        this.syncHandle(file, handle, finish);
      });
    });
  }

  /** Goes on after a short write, which the system may do at any time. */
  private writeAll(file: string, fd: number, offset: number, bytes: Uint8Array, done: Completion<void>): void {
    if (bytes.length === 0) return done(ok(undefined));
    fs.write(fd, bytes, 0, bytes.length, offset, (cause, count) => {
      if (cause !== null) return done(err(this.error(file, cause)));
      if (count === bytes.length) return done(ok(undefined));
      if (count === 0) return done(this.fail('io', file, 'a write made no progress'));
      this.writeAll(file, fd, offset + count, bytes.subarray(count), done);
    });
  }

  sync(file: string, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(file, done)) return;
    this.withHandle<void>(file, done, (handle, finish) => this.syncHandle(file, handle, finish));
  }

  private syncHandle(file: string, { fd }: Handle, done: Completion<void>): void {
    const covered = this.fresh.get(file);
    const synced = (cause: NodeJS.ErrnoException | null): void => {
      // A file that grew meanwhile stays fresh.
      if (cause === null && this.fresh.get(file) === covered) this.fresh.delete(file);
      done(cause === null ? ok(undefined) : err(this.error(file, cause)));
    };
    // The length of any other file has not changed, so its contents are all there is to sync.
    if (covered !== undefined) fs.fsync(fd, synced);
    else fs.fdatasync(fd, synced);
  }

  syncDirectory(completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange('', done)) return;
    // Windows has no such thing and needs none.
    if (process.platform === 'win32') return done(ok(undefined));
    fs.open(this.directory, 'r', (cause, fd) => {
      if (cause !== null) return done(err(this.error('', cause)));
      fs.fsync(fd, (failed) => {
        // Whatever the reason: names that others rely on may be lost, and that is final.
        fs.close(fd, () => done(failed === null ? ok(undefined) : this.fail('io', '', failed.message)));
      });
    });
  }

  rename(from: string, to: string, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(from, done)) return;
    fs.rename(this.path(from), this.path(to), (cause) => {
      if (cause !== null) return done(err(this.error(from, cause)));
      // Handles go by name; whoever uses the file next opens it under the new one.
      this.forget(to);
      this.forget(from);
      this.fresh.delete(to);
      if (this.fresh.delete(from)) this.grew(to);
      done(ok(undefined));
    });
  }

  remove(file: string, completion: Completion<void>): void {
    const done = this.tracked(completion);
    if (this.refuseChange(file, done)) return;
    fs.unlink(this.path(file), (cause) => {
      if (cause !== null) return done(err(this.error(file, cause)));
      this.forget(file);
      this.fresh.delete(file);
      done(ok(undefined));
    });
  }

  free(completion: Completion<number>): void {
    const done = this.tracked(completion);
    fs.statfs(this.directory, (cause, stats) => {
      done(cause === null ? ok(stats.bavail * stats.bsize) : err(this.error('', cause)));
    });
  }

  close(done: () => void): void {
    if (this.pending > 0) this.onIdle = done;
    else process.nextTick(() => this.closeAll(done));
  }

  private closeAll(done: () => void): void {
    this.onIdle = null;
    const fds = [...this.handles.values()].map(({ fd }) => fd);
    this.handles.clear();
    let left = fds.length;
    if (left === 0) return done();
    for (const fd of fds) {
      fs.close(fd, () => {
        left -= 1;
        if (left === 0) done();
      });
    }
  }
}

/** A directory of real files. It must exist; `list` says `missing` when it does not. */
export const createFileDisk = (options: FileDiskOptions): FileDisk => new FileDiskImpl(options);
