import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from './repository.ts';

export interface Patch {
  /** Below the repository, in the built output. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const bin = 'packages/cli/bin/kimberlite.js';

/** The unpatched `kimberlite.js`. */
export const shippedBin = (): string => join(repositoryRoot(), bin);

/**
 * `text` with one patch applied. One that does not apply exactly once is an error: then the code has moved on, and
 * what is planted is no longer the bug it says.
 */
export function applyPatch(text: string, { file, find, replace }: Patch): string {
  const parts = text.split(find);
  if (parts.length !== 2) throw new Error(`the patch of ${file} applies ${parts.length - 1} times: ${find}`);
  return parts.join(replace);
}

/** Patched texts by file, without writing anything. Patches of one file apply one after the other. */
export function patchTexts(patches: readonly Patch[]): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const patch of patches) {
    const text = texts.get(patch.file) ?? readFileSync(join(repositoryRoot(), patch.file), 'utf8');
    texts.set(patch.file, applyPatch(text, patch));
  }
  return texts;
}

/**
 * A copy of the built packages with bugs planted in it; gives the copy's `kimberlite.js`. The shipped code has no
 * switch for any of them.
 */
export function patchedCopy(directory: string, patches: readonly Patch[]): string {
  const repository = repositoryRoot();
  const texts = patchTexts(patches);
  mkdirSync(directory, { recursive: true });
  for (const room of ['packages', 'sim']) {
    cpSync(join(repository, room), join(directory, room), {
      recursive: true,
      verbatimSymlinks: true,
      // Sources, tests and what only tools read.
      filter: (path) => !/\/(src|test|bench|canaries|regressions)$|\.(d\.ts|map|tsbuildinfo)$/.test(path),
    });
  }
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'));
  for (const [file, text] of texts) writeFileSync(join(directory, file), text);
  return join(directory, bin);
}
