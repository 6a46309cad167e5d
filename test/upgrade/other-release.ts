import { type Patch, patchedCopy } from '../../sim/canaries/patched-copy.ts';

const file = 'packages/base/dist/limits.js';

/**
 * A build of this repository that speaks other versions of the protocol, in a directory of its own; gives its
 * `kimberlite.js`. It is what a later release will be: the shipped code has no switch for it.
 */
export function otherRelease(
  directory: string,
  versions: { readonly oldest: number; readonly newest: number },
): string {
  const constant = (name: string, value: number): Patch => ({
    file,
    find: `export const ${name} = 1;`,
    replace: `export const ${name} = ${value};`,
  });
  return patchedCopy(directory, [
    constant('protocolVersion', versions.newest),
    constant('protocolVersionOldest', versions.oldest),
  ]);
}
