import { err, ok, type Result } from '@kimberlite/base';
import { type Done, eachInTurn } from './completion.ts';
import type { Disk, DiskError } from './disk.ts';
import { blockBytes } from './layout.ts';

/** Stands for what cannot be read: no checksum matches it, and it is not zero. */
const unreadable = 0xff;

/**
 * Reads a range in which some blocks may be unreadable; those come back filled with a pattern that checks as damage,
 * so that one bad sector costs what is in it and no more. `offset` and `lengthBytes` are multiples of a block.
 */
export function readTolerant(
  disk: Disk,
  file: string,
  offset: number,
  lengthBytes: number,
  done: (result: Result<Uint8Array, DiskError>) => void,
): void {
  disk.read(file, offset, lengthBytes, (whole) => {
    if (whole.ok || whole.error.code !== 'io') return done(whole);
    const bytes = new Uint8Array(lengthBytes).fill(unreadable);
    const blocks = Array.from({ length: Math.ceil(lengthBytes / blockBytes) }, (_, i) => i * blockBytes);
    const readBlock = (at: number, finished: Done<DiskError>): void =>
      disk.read(file, offset + at, Math.min(blockBytes, lengthBytes - at), (block) => {
        if (block.ok) bytes.set(block.value, at);
        finished(block.ok || block.error.code === 'io' ? ok(undefined) : err(block.error));
      });
    eachInTurn(blocks, readBlock, (result) => done(result.ok ? ok(bytes) : result));
  });
}
