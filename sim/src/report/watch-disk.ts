import type { Completion } from '@kimberlite/log';
import type { WatchableDisk } from '../checkers/superblocks.ts';
import type { DiskCall } from './run-event.ts';

/** One call of a disk. `detail` is empty for calls that are about a whole file. */
export interface WatchedCall {
  readonly call: DiskCall;
  readonly file: string;
  readonly detail: string;
}

/** The same disk: every call and every completion goes through, in order, and is told before it goes on. */
export function watchDisk(
  disk: WatchableDisk,
  started: (call: WatchedCall) => void,
  done: (call: WatchedCall, error: string | null) => void,
): WatchableDisk {
  const through = <T>(call: DiskCall, file: string, detail: string, back: Completion<T>): Completion<T> => {
    const watched = { call, file, detail };
    started(watched);
    return (result) => {
      done(watched, result.ok ? null : result.error.code);
      back(result);
    };
  };
  const at = (offset: number, lengthBytes: number): string => `${lengthBytes} B at ${offset}`;
  return {
    list: (back) => disk.list(through('list', '', '', back)),
    create: (file, sizeBytes, back) => disk.create(file, sizeBytes, through('create', file, `${sizeBytes} B`, back)),
    size: (file, back) => disk.size(file, through('size', file, '', back)),
    read: (file, offset, lengthBytes, back) =>
      disk.read(file, offset, lengthBytes, through('read', file, at(offset, lengthBytes), back)),
    write: (file, offset, bytes, back) =>
      disk.write(file, offset, bytes, through('write', file, at(offset, bytes.length), back)),
    append: (file, bytes, back) => disk.append(file, bytes, through('append', file, `${bytes.length} B`, back)),
    writeDurable: (file, offset, bytes, back) =>
      disk.writeDurable(file, offset, bytes, through('write-durable', file, at(offset, bytes.length), back)),
    sync: (file, back) => disk.sync(file, through('sync', file, '', back)),
    syncDirectory: (back) => disk.syncDirectory(through('sync-directory', '', '', back)),
    rename: (from, to, back) => disk.rename(from, to, through('rename', from, `to ${to}`, back)),
    remove: (file, back) => disk.remove(file, through('remove', file, '', back)),
    free: (back) => disk.free(through('free', '', '', back)),
    crash: () => disk.crash(),
    wipe: () => disk.wipe(),
    holds: (file, offset, bytes) => disk.holds(file, offset, bytes),
    isSynced: (file, offset, lengthBytes) => disk.isSynced(file, offset, lengthBytes),
  };
}
