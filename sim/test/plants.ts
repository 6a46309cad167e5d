import { seal } from '../../packages/vsr/src/sessions.ts';
import { ok } from '@kimberlite/base';
import type { CrashableDisk } from '../src/machine.ts';
import type { Plants } from '../src/options.ts';

// Broken parts for test clusters. The shipped code has no switch for any of them: they are ports, or state that
// is changed from outside after a turn.

/** A disk that says "synced" without having synced what `lies` picks; a file's first sync, at its creation, is honest. */
const lyingDisk = (disk: CrashableDisk, lies: (file: string) => boolean): CrashableDisk => {
  const created = new Set<string>();
  return {
    list: (done) => disk.list(done),
    create: (file, sizeBytes, done) => disk.create(file, sizeBytes, done),
    size: (file, done) => disk.size(file, done),
    read: (file, offset, lengthBytes, done) => disk.read(file, offset, lengthBytes, done),
    write: (file, offset, bytes, done) => disk.write(file, offset, bytes, done),
    append: (file, bytes, done) => disk.append(file, bytes, done),
    writeDurable: (file, offset, bytes, done) =>
      lies(file) ? disk.write(file, offset, bytes, done) : disk.writeDurable(file, offset, bytes, done),
    sync: (file, done) => {
      if (!lies(file) || !created.has(file)) {
        created.add(file);
        disk.sync(file, done);
        return;
      }
      // Any other call gives a completion that is not the sync's.
      disk.size(file, () => done(ok(undefined)));
    },
    syncDirectory: (done) => disk.syncDirectory(done),
    rename: (from, to, done) => {
      created.add(to);
      disk.rename(from, to, done);
    },
    remove: (file, done) => disk.remove(file, done),
    free: (done) => disk.free(done),
    crash: () => disk.crash(),
    wipe: () => disk.wipe(),
  };
};

/** Pitfall 20: prepare_ok, and with it the acknowledgement, before the prepare is durable. */
export const ackBeforeDurable: Plants = {
  disk: (disk) => lyingDisk(disk, (file) => file !== 'superblock'),
};

/** Pitfall 21: do_view_change and start_view go out before the superblock has the view. */
export const viewBeforeDurable: Plants = { disk: (disk) => lyingDisk(disk, (file) => file === 'superblock') };

/** Pitfall 41: a query is answered without a round that starts after it; the replicas count as heard for ever. */
export const readsWithoutRound: Plants = { turned: (state) => void state.rounds.fill(state.nextRound) };

/** Pitfall 41: a new primary answers before the ops it inherited have committed, confirmed as it should be. */
export const readsBeforeInherited: Plants = { turned: (state) => void (state.inherited = 0) };

/** Pitfalls 42 and 56: outcomes and what was admitted are forgotten, so a retry is a new request. */
export const executedTwice: Plants = {
  turned: (state) => {
    for (const [client, entry] of state.sessions) {
      const { session, floor, outcomes } = entry;
      if (outcomes.size > 0) {
        outcomes.clear();
        state.outcomeBytes -= entry.outcomeBytes;
        entry.outcomeBytes = 0;
        // A bug, and not memory that fails: nothing is found by looking through it.
        seal(entry);
      }
      const admission = state.admissions.get(`${client}/${session}`);
      if (admission !== undefined && admission.inFlight.size === 0 && admission.waiting.size === 0)
        admission.next = floor;
    }
  },
};
