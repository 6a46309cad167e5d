import { assert } from './assert.ts';
import { protocolVersion, protocolVersionOldest } from './limits.ts';

/** Versions of the protocol that a release speaks, all of them from the oldest to the newest. */
export interface VersionRange {
  readonly oldest: number;
  readonly newest: number;
}

/** Those of this release. */
export const ownVersions: VersionRange = { oldest: protocolVersionOldest, newest: protocolVersion };
assert(ownVersions.oldest >= 1 && ownVersions.oldest <= ownVersions.newest, 'a release speaks at least one version');

export const speaks = ({ oldest, newest }: VersionRange, version: number): boolean =>
  version >= oldest && version <= newest;

/** What two sides speak with each other: the newest that both know. Null: there is none. */
export function commonVersion(a: VersionRange, b: VersionRange): number | null {
  const newest = Math.min(a.newest, b.newest);
  return newest >= Math.max(a.oldest, b.oldest) ? newest : null;
}

/** For people. */
export const describeVersions = ({ oldest, newest }: VersionRange): string =>
  oldest === newest ? `version ${newest}` : `versions ${oldest} to ${newest}`;
