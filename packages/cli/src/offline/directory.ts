import { statSync } from 'node:fs';
import type { Result } from '@kimberlite/base';
import type { InspectOptions, LogError } from '@kimberlite/log';
import { type FileDisk, nodeCrc32, nodeHasher, openDirectoryReadOnly } from '@kimberlite/node';
import { CliFailure, fail } from '../failure.ts';

/** Runs `work` over a data directory, reading only: a node may run on it meanwhile. */
export async function withDirectory<T>(path: string, work: (options: InspectOptions) => Promise<T>): Promise<T> {
  requireDirectory(path);
  const disk: FileDisk = openDirectoryReadOnly(path);
  try {
    return await work({ disk, hasher: nodeHasher, crc32: nodeCrc32 });
  } finally {
    await new Promise<void>((resolve) => disk.close(resolve));
  }
}

function requireDirectory(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) return;
  const what = found === undefined ? 'does not exist' : 'is not a directory';
  throw fail('NoSuchDirectory', `${path} ${what}.`, "Name a node's data directory, such as .kimberlite/node-0");
}

/** A completion of the log as a promise; its errors name what to do. */
export function completed<T>(start: (done: (result: Result<T, LogError>) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((result) => {
      if (result.ok) return resolve(result.value);
      const { kind, message, file } = result.error;
      const report = { code: 'LogUnreadable', kind, message };
      reject(new CliFailure(file === undefined ? report : { ...report, file }));
    });
  });
}
