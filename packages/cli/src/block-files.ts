import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Spill } from '@kimberlite/sim';

/**
 * Blocks of numbers in files of a temporary directory, which is made when the first one is written: most explorations
 * fit into memory. `close` removes it.
 */
export function blockFiles(): Spill & { readonly close: () => void } {
  let directory: string | null = null;
  const path = (name: string, block: number): string => {
    directory ??= mkdtempSync(join(tmpdir(), 'kimberlite-explore-'));
    return join(directory, `${name}-${block}`);
  };
  return {
    write: (name, block, words) =>
      writeFileSync(path(name, block), new Uint8Array(words.buffer, words.byteOffset, words.byteLength)),
    read: (name, block) => {
      const bytes = new Uint8Array(readFileSync(path(name, block)));
      return new Uint32Array(bytes.buffer, 0, bytes.byteLength / Uint32Array.BYTES_PER_ELEMENT);
    },
    remove: (name, block) => rmSync(path(name, block), { force: true }),
    close: () => {
      if (directory !== null) rmSync(directory, { recursive: true, force: true });
    },
  };
}
