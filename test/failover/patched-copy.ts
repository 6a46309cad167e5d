import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../../', import.meta.url));

export const shippedBin = join(repository, 'packages/cli/bin/kimberlite.js');

export interface Patch {
  /** Below the repository, in the built output. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/**
 * A copy of the built packages with bugs planted in it; gives the copy's `kimberlite.js`. The shipped code has no
 * switch for any of them. A patch that does not apply exactly once is an error: then the code has moved on, and the
 * test no longer shows what it says.
 */
export function patchedCopy(directory: string, patches: readonly Patch[]): string {
  mkdirSync(directory, { recursive: true });
  for (const room of ['packages', 'sim']) {
    cpSync(join(repository, room), join(directory, room), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !/\/(src|test|bench)$/.test(path),
    });
  }
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'));
  for (const { file, find, replace } of patches) {
    const path = join(directory, file);
    const parts = readFileSync(path, 'utf8').split(find);
    if (parts.length !== 2) throw new Error(`the patch of ${file} applies ${parts.length - 1} times: ${find}`);
    writeFileSync(path, parts.join(replace));
  }
  return join(directory, 'packages/cli/bin/kimberlite.js');
}

/** A query is answered as soon as its round has started, whoever has confirmed it (pitfall 41). */
export const readsWithoutRound: readonly Patch[] = [
  {
    file: 'packages/vsr/dist/reads.js',
    find: 'descending[r.quorums.replication - 1] ?? 0',
    replace: 'r.startedRound',
  },
];

/** Nobody remembers what was admitted or executed, so a request sent again runs again (pitfalls 42, 56). */
export const executedTwice: readonly Patch[] = [
  {
    file: 'packages/vsr/dist/sessions.js',
    find: "outcome === undefined ? 'none' : outcome.checksum === request.checksum ? 'same' : 'other'",
    replace: "'none'",
  },
  {
    file: 'packages/vsr/dist/sessions.js',
    find: "{ name: 'in flight', matches: (f) => f.inFlight,",
    replace: "{ name: 'in flight', matches: () => false,",
  },
  {
    file: 'packages/vsr/dist/pipeline.js',
    find: 'request.session === 0 ? 0 : executed + 1',
    replace: 'request.number',
  },
  {
    file: 'packages/vsr/dist/pipeline.js',
    find: 'if (request.number < admission.next)\n        return;',
    replace: 'admission.next = Math.min(admission.next, request.number);',
  },
];
