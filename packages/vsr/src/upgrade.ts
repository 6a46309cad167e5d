import { membersOf } from './group.ts';
import { isChanging, silenceMs } from './members.ts';
import { whyNotServing } from './pipeline.ts';
import { isMember, isNormalPrimary, type Replica } from './replica.ts';
import { flush } from './superblock.ts';
import { whyNotSpoken } from './version.ts';

// How the version in force rises: see version.ts.

/**
 * As a checkpoint says that this replica goes on from, or an op that it applies. Throws before anything has changed: this
 * replica must not go on.
 */
export function putInForce<S>(r: Replica<S>, version: number): void {
  const { versions } = r;
  const why = whyNotSpoken(versions.range, version);
  if (why !== null) throw new Error(`${why}. Nothing of this directory was changed by it`);
  if (version === versions.inForce) return;
  versions.inForce = version;
  // A release without it is told at its start, before it has read a log.
  if (version > r.durable.versionInForce) flush(r);
}

/** Two primaries may each have put an upgrade into the log: the lower one comes too late. */
export function applyUpgrade<S>(r: Replica<S>, version: number): void {
  r.versions.proposed = null;
  if (version > r.versions.inForce) putInForce(r, version);
}

/** What the others say goes for this primary in this view, and only for what is left to be done. */
export function noteSpoken<S>(r: Replica<S>, from: number, newest: number): void {
  const { said, range, inForce } = r.versions;
  if (range.newest > inForce && isMember(r, from)) said.set(from, { newest, atUs: r.now });
}

/** The newest version that all members, standbys included, were heard to speak just now; null: somebody is not heard. */
function spokenByAll<S>(r: Replica<S>): number | null {
  let newest = r.versions.range.newest;
  for (const member of membersOf(r.group)) {
    if (member === r.self) continue;
    const last = r.versions.said.get(member);
    if (last === undefined || r.now - last.atUs >= silenceMs * 1000) return null;
    newest = Math.min(newest, last.newest);
  }
  return newest;
}

/** At each heartbeat: one upgrade at a time, and none while the members change, for the new one may be of an older release. */
export function considerUpgrade<S>(r: Replica<S>): void {
  const { versions, members } = r;
  if (versions.range.newest <= versions.inForce || versions.proposed !== null) return;
  if (!isNormalPrimary(r) || whyNotServing(r) !== null || isChanging(r) || members.queue.length > 0) return;
  const version = spokenByAll(r);
  if (version === null || version <= versions.inForce) return;
  r.mark('upgrade-proposed');
  versions.proposed = version;
  members.queue = [{ type: 'upgrade', version }];
}

/** The view was left: the next primary asks the others itself. */
export function forgetSpoken<S>({ versions }: Replica<S>): void {
  versions.said.clear();
  versions.proposed = null;
}
