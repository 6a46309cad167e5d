import { describeVersions, protocolVersionOldest, speaks, type VersionRange } from '@kimberlite/base';

// Rolling upgrades. Nodes of two releases run together, each speaking a range of versions, and behave alike: as the
// version in force says. That is state of the log. It rises by an op that the primary prepares by itself, once every
// member of the group has said that it speaks the newer version (upgrade.ts), and never falls.

export interface Versions {
  /** What this release speaks. Never changes. */
  readonly range: VersionRange;
  /** As the applied log says; part of every checkpoint. Never goes back. */
  inForce: number;
  /** Primary: the newest version that each of the others said it speaks, and when. Only while that may change anything. */
  readonly said: Map<number, { readonly newest: number; readonly atUs: number }>;
  /** Primary: the version of an upgrade that is prepared and not applied yet. Null: none. */
  proposed: number | null;
}

export const createVersions = (range: VersionRange, inForce: number): Versions => ({
  range,
  inForce,
  said: new Map(),
  proposed: null,
});

/**
 * What came with which version, and is left alone until that one is in force: so that equal logs give equal states and
 * equal checkpoints on nodes of different releases. Everything that is not listed is version 1.
 */
export const features = {
  /** A checkpoint says the version in force (form 3 of its content). */
  'version-in-checkpoints': 2,
} as const satisfies Readonly<Record<string, number>>;
export type Feature = keyof typeof features;

/** The one gate there is. */
export const isInForce = (feature: Feature, inForce: number): boolean => inForce >= features[feature];

/** Clusters from before versions could rise are in this one. */
export const firstVersion = 1;

/** What a cluster begins with that this release founds. It rises by itself as soon as all nodes are heard. */
export const foundingVersion: number = protocolVersionOldest;

/** Why a node of this release cannot take part where that version is in force; null: it can. */
export function whyNotSpoken(range: VersionRange, version: number): string | null {
  if (speaks(range, version)) return null;
  const own = `this release speaks ${describeVersions(range)}`;
  if (version > range.newest) {
    return `protocol version ${version} is in force in this cluster, and ${own}: install a newer release, one that speaks ${version}`;
  }
  return `protocol version ${version} is in force in this cluster, and ${own}: install a release in between first, one that speaks ${version} and ${range.oldest}`;
}
