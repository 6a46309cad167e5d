import { assert, type RandomState, randomChance, randomInt } from '@kimberlite/base';

/** The unit a disk writes whole: a torn write ends at one of its borders. */
export const simSectorBytes = 512;

interface SectorVersion {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/**
 * One file as a page cache over a platter. `current` is what reads see. For every sector that was written and not
 * synced, all versions since the last durable one are kept, since a crash may leave any of them.
 */
export class SimDiskFile {
  current: Uint8Array;
  /** False until the first sync: a crash may leave a new file of any length. */
  everSynced: boolean;
  /** Sectors the drive cannot read until they are written again. */
  readonly unreadable = new Set<number>();
  private readonly dirty = new Map<number, SectorVersion[]>();
  private sequence = 0;

  constructor(current: Uint8Array, everSynced: boolean) {
    this.current = current;
    this.everSynced = everSynced;
  }

  private sector(number: number): Uint8Array {
    return this.current.slice(number * simSectorBytes, (number + 1) * simSectorBytes);
  }

  /** `keep` chooses the sectors that are written at all. */
  write(offset: number, bytes: Uint8Array, keep: (sector: number) => boolean = () => true): void {
    assert(offset >= 0 && offset + bytes.length <= this.current.length, 'a write stays within the file');
    if (bytes.length === 0) return;
    this.sequence += 1;
    const first = Math.floor(offset / simSectorBytes);
    const last = Math.floor((offset + bytes.length - 1) / simSectorBytes);
    for (let sector = first; sector <= last; sector++) {
      if (!keep(sector)) continue;
      let versions = this.dirty.get(sector);
      if (versions === undefined) {
        versions = [{ sequence: 0, bytes: this.sector(sector) }];
        this.dirty.set(sector, versions);
      }
      const from = Math.max(offset, sector * simSectorBytes);
      const to = Math.min(offset + bytes.length, (sector + 1) * simSectorBytes);
      this.current.set(bytes.subarray(from - offset, to - offset), from);
      versions.push({ sequence: this.sequence, bytes: this.sector(sector) });
      this.unreadable.delete(sector);
    }
  }

  /** What a sync that starts now will cover. */
  syncPoint(): number {
    return this.sequence;
  }

  /** A sync that started at `point` has ended well: later writes stay undecided. */
  synced(point: number): void {
    this.everSynced = true;
    for (const sector of [...this.dirty.keys()]) this.syncedSector(sector, point);
  }

  /** The same for the sectors of one write. */
  syncedRange(point: number, offset: number, lengthBytes: number): void {
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let sector = Math.floor(offset / simSectorBytes); sector <= last; sector++) this.syncedSector(sector, point);
  }

  private syncedSector(sector: number, point: number): void {
    const versions = this.dirty.get(sector);
    if (versions === undefined) return;
    let durable = 0;
    for (const [i, version] of versions.entries()) if (version.sequence <= point) durable = i;
    if (durable === versions.length - 1) this.dirty.delete(sector);
    else this.dirty.set(sector, versions.slice(durable));
  }

  /** No crash can change these bytes any more. */
  isSynced(offset: number, lengthBytes: number): boolean {
    if (!this.everSynced) return false;
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let sector = Math.floor(offset / simSectorBytes); sector <= last; sector++) {
      if (this.dirty.has(sector)) return false;
    }
    return true;
  }

  /** Flips a bit in the cache and in everything a crash may bring back. */
  flipBit(offset: number, bit: number): void {
    this.current[offset] = (this.current[offset] ?? 0) ^ (1 << bit);
    const within = offset % simSectorBytes;
    for (const { bytes } of this.dirty.get(Math.floor(offset / simSectorBytes)) ?? []) {
      bytes[within] = (bytes[within] ?? 0) ^ (1 << bit);
    }
  }

  /** Power is gone: every sector that was not synced becomes one of its versions, or the oldest. */
  loseUnsynced(random: RandomState, everything = false): void {
    for (const [sector, versions] of this.dirty) {
      const chosen = versions[everything ? 0 : randomInt(random, 0, versions.length - 1)];
      if (chosen !== undefined) this.current.set(chosen.bytes, sector * simSectorBytes);
    }
    this.dirty.clear();
    if (!this.everSynced && randomChance(random, 0.5)) {
      const sectors = Math.floor(this.current.length / simSectorBytes);
      this.current = this.current.slice(0, randomInt(random, 0, sectors) * simSectorBytes);
    }
    this.everSynced = true;
  }
}
