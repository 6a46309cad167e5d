import { assert, type RandomState, randomChance, randomInt } from '@kimberlite/base';
import { zeroedBytes } from './slab.ts';

/** The unit a disk writes whole: a torn write ends at one of its borders. */
export const simSectorBytes = 512;
const sectorsPerPage = 8;
const pageBytes = simSectorBytes * sectorsPerPage;

/**
 * Contents of one page, never changed in place but by `flipBit`: a write makes a new array. Null is all zeros,
 * so that a preallocated file costs nothing until it is written.
 */
type Page = Uint8Array | null;

interface PageVersion {
  readonly sequence: number;
  page: Page;
  /** Bit per sector that this write touched; the first version, what was there before, has all of them. */
  readonly touched: number;
}

/** A page with sectors that were written and not synced. */
interface DirtyPage {
  /** Oldest first; the last one is current. */
  readonly versions: PageVersion[];
  /** For each sector the sequence of the write that made it dirty, 0 while it is clean. */
  readonly since: number[];
  /** For each sector the sequence of the last write to it. */
  readonly last: number[];
  /** For each sector: writes up to here are durable. */
  readonly durable: number[];
}

interface DirtySector {
  readonly since: number;
  readonly page: number;
  readonly sector: number;
}

const allSectors = (1 << sectorsPerPage) - 1;

/**
 * One file as a page cache over a platter. Reads see the current pages. For every sector that was written and not
 * synced, all versions since the last durable one are kept, since a crash may leave any of them.
 */
export class SimDiskFile {
  /** False until the first sync: a crash may leave a new file of any length. */
  everSynced: boolean;
  /** Lengths since the durable one, oldest first; before the first sync none is durable. */
  private lengths: { readonly sequence: number; readonly size: number }[];
  /** Sectors the drive cannot read until they are written again. */
  readonly unreadable = new Set<number>();
  /** Sectors that a fault has changed, or kept from changing, since the machine booted. */
  private readonly hurt = new Set<number>();
  private size: number;
  private readonly pages: Page[];
  private readonly dirty = new Map<number, DirtyPage>();
  private sequence = 0;

  constructor(size: number, everSynced: boolean) {
    this.size = size;
    this.everSynced = everSynced;
    this.lengths = [{ sequence: 0, size }];
    this.pages = Array.from({ length: Math.ceil(size / pageBytes) }, () => null);
  }

  /** A file with these contents, all durable. */
  static of(contents: Uint8Array): SimDiskFile {
    const file = new SimDiskFile(contents.length, true);
    for (let page = 0; page < file.pages.length; page++) {
      const bytes = new Uint8Array(pageBytes);
      bytes.set(contents.subarray(page * pageBytes, (page + 1) * pageBytes));
      file.pages[page] = bytes;
    }
    return file;
  }

  get length(): number {
    return this.size;
  }

  /** A copy of a range. */
  read(offset: number, length: number): Uint8Array {
    assert(offset >= 0 && offset + length <= this.size, 'a read stays within the file');
    const bytes = zeroedBytes(length);
    for (let at = offset; at < offset + length; ) {
      const page = this.pages[Math.floor(at / pageBytes)] ?? null;
      const within = at % pageBytes;
      const count = Math.min(pageBytes - within, offset + length - at);
      if (page !== null) bytes.set(page.subarray(within, within + count), at - offset);
      at += count;
    }
    return bytes;
  }

  /** A read there would give exactly these bytes. */
  holds(offset: number, bytes: Uint8Array): boolean {
    if (offset < 0 || offset + bytes.length > this.size) return false;
    for (let i = 0; i < bytes.length; ) {
      const at = offset + i;
      const page = this.pages[Math.floor(at / pageBytes)] ?? null;
      const end = Math.min(bytes.length, i + pageBytes - (at % pageBytes));
      for (let within = at % pageBytes; i < end; i++, within++) if ((page?.[within] ?? 0) !== bytes[i]) return false;
    }
    return true;
  }

  /** `keep` chooses the sectors that are written at all. `bytes` belongs to the file from now on. */
  write(offset: number, bytes: Uint8Array, keep: ((sector: number) => boolean) | null = null): void {
    assert(offset >= 0 && offset + bytes.length <= this.size, 'a write stays within the file');
    if (bytes.length === 0) return;
    this.sequence += 1;
    const end = offset + bytes.length;
    for (let number = Math.floor(offset / pageBytes); number * pageBytes < end; number++) {
      const start = number * pageBytes;
      const from = Math.max(offset, start);
      const to = Math.min(end, start + pageBytes);
      const first = Math.floor((from - start) / simSectorBytes);
      const last = Math.floor((to - 1 - start) / simSectorBytes);
      let touched = 0;
      for (let sector = first; sector <= last; sector++) {
        if (keep === null || keep(number * sectorsPerPage + sector)) touched |= 1 << sector;
      }
      if (touched !== 0) this.writePage(number, touched, bytes.subarray(from - offset, to - offset), from - start);
    }
  }

  private writePage(number: number, touched: number, part: Uint8Array, at: number): void {
    const before = this.pages[number] ?? null;
    const page = overlay(before, touched, part, at);
    this.pages[number] = page;
    let dirty = this.dirty.get(number);
    if (dirty === undefined) {
      dirty = {
        versions: [{ sequence: 0, page: before, touched: allSectors }],
        since: [0, 0, 0, 0, 0, 0, 0, 0],
        last: [0, 0, 0, 0, 0, 0, 0, 0],
        durable: [0, 0, 0, 0, 0, 0, 0, 0],
      };
      this.dirty.set(number, dirty);
    }
    dirty.versions.push({ sequence: this.sequence, page, touched });
    for (let sector = 0; sector < sectorsPerPage; sector++) {
      if ((touched & (1 << sector)) === 0) continue;
      if (dirty.since[sector] === 0) dirty.since[sector] = this.sequence;
      dirty.last[sector] = this.sequence;
      if (this.unreadable.size > 0) this.unreadable.delete(number * sectorsPerPage + sector);
    }
  }

  /** Extends the file by zeros. */
  grow(lengthBytes: number): void {
    assert(lengthBytes >= 0, 'a file only grows');
    this.sequence += 1;
    this.size += lengthBytes;
    this.lengths.push({ sequence: this.sequence, size: this.size });
    while (this.pages.length < Math.ceil(this.size / pageBytes)) this.pages.push(null);
  }

  /** What a sync that starts now will cover. */
  syncPoint(): number {
    return this.sequence;
  }

  /** A sync that started at `point` has ended well: later writes stay undecided. */
  synced(point: number): void {
    this.everSynced = true;
    const last = this.lengths.findLastIndex(({ sequence }) => sequence <= point);
    if (last > 0) this.lengths.splice(0, last);
    for (const number of [...this.dirty.keys()]) this.syncedPage(number, point, 0, sectorsPerPage - 1);
  }

  /** The same for the sectors of one write. */
  syncedRange(point: number, offset: number, lengthBytes: number): void {
    const first = Math.floor(offset / simSectorBytes);
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let page = Math.floor(first / sectorsPerPage); page * sectorsPerPage <= last; page++) {
      const start = page * sectorsPerPage;
      this.syncedPage(page, point, Math.max(0, first - start), Math.min(sectorsPerPage - 1, last - start));
    }
  }

  private syncedPage(number: number, point: number, first: number, last: number): void {
    const dirty = this.dirty.get(number);
    if (dirty === undefined) return;
    for (let sector = first; sector <= last; sector++) {
      dirty.durable[sector] = Math.max(point, dirty.durable[sector] ?? 0);
      if ((dirty.last[sector] ?? 0) <= point) dirty.since[sector] = 0;
    }
    if (dirty.since.every((since) => since === 0)) this.dirty.delete(number);
  }

  /** No crash can change these bytes any more: they are the same in all that it might leave. */
  isSynced(offset: number, lengthBytes: number): boolean {
    if (!this.everSynced) return false;
    const end = offset + lengthBytes;
    if (end > this.durableLength()) return false;
    for (let sector = Math.floor(offset / simSectorBytes); sector * simSectorBytes < end; sector++) {
      const page = Math.floor(sector / sectorsPerPage);
      if ((this.dirty.get(page)?.since[sector % sectorsPerPage] ?? 0) === 0) continue;
      const from = Math.max(offset, sector * simSectorBytes) - page * pageBytes;
      const to = Math.min(end, (sector + 1) * simSectorBytes) - page * pageBytes;
      const now = this.pages[page] ?? null;
      for (const version of this.versionsOf(page, sector % sectorsPerPage)) {
        for (let at = from; at < to; at++) if ((version.page?.[at] ?? 0) !== (now?.[at] ?? 0)) return false;
      }
    }
    return true;
  }

  /** A fault has hit these bytes since the machine booted. */
  isHurt(offset: number, lengthBytes: number): boolean {
    if (this.hurt.size === 0) return false;
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let sector = Math.floor(offset / simSectorBytes); sector <= last; sector++) {
      if (this.hurt.has(sector)) return true;
    }
    return false;
  }

  hurtAt(offset: number, lengthBytes: number): void {
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let sector = Math.floor(offset / simSectorBytes); sector <= last; sector++) this.hurt.add(sector);
  }

  /** A boot reads everything: what was hurt before it can be seen. */
  forgetHurt(): void {
    this.hurt.clear();
  }

  /** Flips a bit in the cache and in everything a crash may bring back. */
  flipBit(offset: number, bit: number): void {
    this.hurtAt(offset, 1);
    const number = Math.floor(offset / pageBytes);
    const within = offset % pageBytes;
    const flip = (page: Page): Uint8Array => {
      const bytes = page ?? new Uint8Array(pageBytes);
      bytes[within] = (bytes[within] ?? 0) ^ (1 << bit);
      return bytes;
    };
    // Each version has an array of its own, and the last one is the current page.
    const versions = this.dirty.get(number)?.versions ?? [];
    for (const version of versions) version.page = flip(version.page);
    this.pages[number] = versions.at(-1)?.page ?? flip(this.pages[number] ?? null);
  }

  /** Power is gone: every sector that was not synced becomes one of its versions, or the oldest. */
  loseUnsynced(random: RandomState, everything = false): void {
    for (const { page, sector } of this.dirtySectors()) {
      const versions = this.versionsOf(page, sector);
      const chosen = versions[everything ? 0 : randomInt(random, 0, versions.length - 1)];
      if (chosen === undefined) continue;
      const from = sector * simSectorBytes;
      const part = chosen.page?.subarray(from, from + simSectorBytes) ?? new Uint8Array(simSectorBytes);
      this.pages[page] = overlay(this.pages[page] ?? null, 1 << sector, part, from);
    }
    this.dirty.clear();
    if (!this.everSynced && randomChance(random, 0.5)) {
      const sectors = Math.floor(this.size / simSectorBytes);
      this.truncate(randomInt(random, 0, sectors) * simSectorBytes);
    } else if (this.everSynced && this.lengths.length > 1) {
      // Any length since the durable one, and everything that was not synced behind it may be zeros.
      this.truncate(everything ? this.durableLength() : randomInt(random, this.durableLength(), this.size));
    }
    this.everSynced = true;
    this.lengths = [{ sequence: this.sequence, size: this.size }];
  }

  /** In the order in which they became dirty. */
  private dirtySectors(): readonly DirtySector[] {
    const found: DirtySector[] = [];
    for (const [page, dirty] of this.dirty) {
      for (const [sector, since] of dirty.since.entries()) if (since > 0) found.push({ since, page, sector });
    }
    return found.sort((a, b) => a.since - b.since || a.page - b.page || a.sector - b.sector);
  }

  /** What a crash may leave of a sector: what is durable, and every later write. */
  private versionsOf(page: number, sector: number): readonly PageVersion[] {
    const dirty = this.dirty.get(page);
    const touching = (dirty?.versions ?? []).filter(({ touched }) => (touched & (1 << sector)) !== 0);
    const point = dirty?.durable[sector] ?? 0;
    // The version before the first write has sequence 0, so there always is one.
    return touching.slice(touching.findLastIndex(({ sequence }) => sequence <= point));
  }

  private durableLength(): number {
    return this.lengths[0]?.size ?? 0;
  }

  private truncate(size: number): void {
    this.size = size;
    this.pages.length = Math.ceil(size / pageBytes);
    const last = this.pages.at(-1) ?? null;
    if (last === null || size % pageBytes === 0) return;
    // Should the file grow again, zeros come after its end.
    const page = last.slice();
    page.fill(0, size % pageBytes);
    this.pages[this.pages.length - 1] = page;
  }
}

/** The page with the touched sectors of `part`, which starts at byte `at` of it. */
function overlay(before: Page, touched: number, part: Uint8Array, at: number): Uint8Array {
  if (part.length === pageBytes && touched === allSectors) return part;
  const page = zeroedBytes(pageBytes);
  if (before !== null) page.set(before);
  for (let sector = 0; sector < sectorsPerPage; sector++) {
    if ((touched & (1 << sector)) === 0) continue;
    const from = Math.max(at, sector * simSectorBytes);
    const to = Math.min(at + part.length, (sector + 1) * simSectorBytes);
    page.set(part.subarray(from - at, to - at), from);
  }
  return page;
}
