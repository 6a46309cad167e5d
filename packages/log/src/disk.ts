import type { Result } from '@kimberlite/base';

/**
 * A directory of plain files, as the log needs it. Every call ends in exactly one completion, never before the
 * call has returned. Calls on one file may complete in any order; whoever needs an order waits.
 * What was written is durable once a `sync` of that file that was started after the write's completion has
 * succeeded; a created, renamed or removed name, once `syncDirectory` has.
 */
export interface Disk {
  readonly list: (done: Completion<readonly string[]>) => void;
  /** Creates a file of that size, which may be 0, filled with zeros that are really written. Fails with `exists`. Not yet synced. */
  readonly create: (file: string, sizeBytes: number, done: Completion<void>) => void;
  /** Size in bytes. */
  readonly size: (file: string, done: Completion<number>) => void;
  /** Exactly `lengthBytes`, or the error `short`. The bytes belong to the caller. */
  readonly read: (file: string, offset: number, lengthBytes: number, done: Completion<Uint8Array>) => void;
  /** Within the file's size. The caller leaves `bytes` alone until the completion. */
  readonly write: (file: string, offset: number, bytes: Uint8Array, done: Completion<void>) => void;
  /**
   * Extends the file at its end, one append to a file at a time. As `write`; the new length is durable with a sync that
   * covers it, and until then a crash may leave any shorter one. After a failure some of the bytes may be there.
   */
  readonly append: (file: string, bytes: Uint8Array, done: Completion<void>) => void;
  /**
   * `write`, and these bytes are durable at the completion: one call where the platform has one. Says nothing of other
   * writes to the file. A failure is as final as that of a sync.
   */
  readonly writeDurable: (file: string, offset: number, bytes: Uint8Array, done: Completion<void>) => void;
  /** A failed sync is final: the caller stops (pitfall 27). */
  readonly sync: (file: string, done: Completion<void>) => void;
  readonly syncDirectory: (done: Completion<void>) => void;
  readonly rename: (from: string, to: string, done: Completion<void>) => void;
  readonly remove: (file: string, done: Completion<void>) => void;
  /** Bytes that new files may take, as far as is known: quotas, say, may leave less. */
  readonly free: (done: Completion<number>) => void;
}

export interface DiskError {
  readonly code: 'missing' | 'exists' | 'short' | 'no-space' | 'read-only' | 'io';
  readonly file: string;
  readonly message: string;
}

export type Completion<T> = (result: Result<T, DiskError>) => void;
