import type { Disk } from '@kimberlite/log';
import { type DirectoryLock, lockDirectory } from './directory-lock.ts';
import { createFileDisk, type FileDisk } from './file-disk.ts';
import { StartError } from './start-error.ts';

/** A data directory that no other process has. */
export interface DataDirectory {
  readonly path: string;
  readonly disk: Disk;
  /** Waits for what is under way, closes the files, gives the directory free. */
  readonly close: () => Promise<void>;
}

const closeDisk = (disk: FileDisk): Promise<void> => new Promise((resolve) => disk.close(resolve));

/** Rejects with `StartError` when the directory is missing, in use or not writable. */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const locked = await lockDirectory(path);
  if (!locked.ok) throw new StartError(`the data directory ${locked.error.message}`);
  const lock: DirectoryLock = locked.value;
  const disk = createFileDisk({ directory: path });
  const close = async (): Promise<void> => {
    await closeDisk(disk);
    await lock.release();
  };
  return { path, disk, close };
}

/** For looking at a directory, also beside the node that runs on it: takes no lock and changes nothing. */
export const openDirectoryReadOnly = (path: string): FileDisk => createFileDisk({ directory: path, readOnly: true });
