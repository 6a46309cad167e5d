import { assert, err, ok, type RandomState, type Result, randomChance, randomInt, randomPick } from '@kimberlite/base';
import type { Completion, Disk, DiskError } from '@kimberlite/log';
import { SimDiskFile, simSectorBytes } from './disk-file.ts';
import { copyOf } from './slab.ts';

/** What may go wrong, and how fast things are. May be changed while the disk runs. */
export interface DiskFaults {
  /** Of reads, writes and directory operations. */
  latencyUs: readonly [low: number, high: number];
  syncLatencyUs: readonly [low: number, high: number];
  /** Chances per call. */
  readErrorChance: number;
  writeErrorChance: number;
  syncErrorChance: number;
  /** The write lands whole at another sector of the same file, and is reported as done. */
  misdirectedWriteChance: number;
  /** The write is reported as done and never happened. */
  lostWriteChance: number;
  /** After a read, a bit somewhere in what was read is found to have flipped on the platter. */
  rotChance: number;
  /** Bytes of all files; creating one beyond fails with `no-space`. */
  capacityBytes: number;
  /** A quota: the file system tells of more room than there is. */
  capacityUntold: boolean;
}

/** Sees the calls of one disk as they arrive, and decides what becomes of a write. */
export interface DiskWatcher {
  readonly write: (file: string) => 'kept' | 'lost' | 'misdirected';
  readonly sync: (file: string) => void;
  /** With so many changes of names that are not durable. */
  readonly syncDirectory: (changes: number) => void;
  /** Whether a read that was drawn to fail may do so. */
  readonly mayFailToRead: (file: string, offset: number, lengthBytes: number) => boolean;
  /** Somebody asked how much room there is, and was told so. */
  readonly told: (freeBytes: number) => void;
  /** A call fails, by a fault or for want of space. */
  readonly failed: (call: string, code: DiskError['code']) => void;
}

export const noFaults: DiskFaults = {
  latencyUs: [20, 120],
  syncLatencyUs: [200, 900],
  readErrorChance: 0,
  writeErrorChance: 0,
  syncErrorChance: 0,
  misdirectedWriteChance: 0,
  lostWriteChance: 0,
  rotChance: 0,
  capacityBytes: Number.MAX_SAFE_INTEGER,
  capacityUntold: false,
};

export interface SimDiskOptions {
  /** Runs `fn` that much simulated time later, never at once. */
  readonly schedule: (delayUs: number, fn: () => void) => void;
  readonly random: RandomState;
  readonly faults?: Partial<DiskFaults>;
  /** Contents to begin with, all durable. */
  readonly contents?: ReadonlyMap<string, Uint8Array>;
}

type DirectoryChange =
  | { readonly type: 'create'; readonly name: string; readonly file: SimDiskFile }
  | { readonly type: 'rename'; readonly from: string; readonly to: string }
  | { readonly type: 'remove'; readonly name: string };

interface FlyingWrite {
  readonly file: SimDiskFile;
  /** Null for an append. */
  readonly offset: number | null;
  readonly bytes: Uint8Array;
}

type Outcome<T> = Result<T, DiskError['code']>;

/**
 * A directory in memory that behaves as a disk may at worst: until a sync has ended, a crash keeps any subset of the
 * written sectors, and of the changes of names any first part. Deterministic: every choice comes from `random`.
 */
export class SimDisk implements Disk {
  readonly faults: DiskFaults;
  /** Calls that were accepted and completed, by kind: tests count syncs and crash at every one. */
  readonly completed: Record<string, number> = {};
  private readonly options: SimDiskOptions;
  private names = new Map<string, SimDiskFile>();
  private durableNames: Map<string, SimDiskFile>;
  private changes: DirectoryChange[] = [];
  private changesSynced = 0;
  private flying = new Set<FlyingWrite>();
  private boot = 0;
  watcher: DiskWatcher | null = null;
  /** Of what was not synced, what survives the next crash; all of it when only the process ends. */
  nextCrashKeeps: 'some' | 'nothing' | 'everything' = 'some';

  constructor(options: SimDiskOptions) {
    this.options = options;
    this.faults = { ...noFaults, ...options.faults };
    for (const [name, bytes] of options.contents ?? []) this.names.set(name, SimDiskFile.of(bytes));
    this.durableNames = new Map(this.names);
  }

  private get random(): RandomState {
    return this.options.random;
  }

  private chance(probability: number): boolean {
    // Without a draw when a fault is off, so that turning one on elsewhere does not change everything before it.
    return probability > 0 && randomChance(this.random, probability);
  }

  /** Completes later with what `act` returns then; a crash in between forgets it. */
  private later<T>(kind: string, file: string, done: Completion<T>, act: () => Outcome<T>): void {
    const { boot } = this;
    const [low, high] = kind === 'sync' || kind === 'syncDirectory' ? this.faults.syncLatencyUs : this.faults.latencyUs;
    this.options.schedule(randomInt(this.random, low, high), () => {
      if (this.boot !== boot) return;
      this.completed[kind] = (this.completed[kind] ?? 0) + 1;
      const outcome = act();
      if (outcome.ok) return done(outcome);
      this.watcher?.failed(kind, outcome.error);
      done(err({ code: outcome.error, file, message: `${kind} ${file}: ${outcome.error} (simulated)` }));
    });
  }

  list(done: Completion<readonly string[]>): void {
    this.later('list', '', done, () => ok([...this.names.keys()].sort()));
  }

  create(file: string, sizeBytes: number, done: Completion<void>): void {
    this.later('create', file, done, () => {
      if (this.names.has(file)) return err('exists');
      if (this.usedBytes() + sizeBytes > this.faults.capacityBytes) return err('no-space');
      const created = new SimDiskFile(sizeBytes, false);
      this.names.set(file, created);
      this.changes.push({ type: 'create', name: file, file: created });
      return ok(undefined);
    });
  }

  size(file: string, done: Completion<number>): void {
    this.later('size', file, done, () => {
      const found = this.names.get(file);
      return found === undefined ? err('missing') : ok(found.length);
    });
  }

  read(file: string, offset: number, lengthBytes: number, done: Completion<Uint8Array>): void {
    this.later('read', file, done, () => {
      const found = this.names.get(file);
      if (found === undefined) return err('missing');
      if (offset < 0 || offset + lengthBytes > found.length) return err('short');
      const mayFail = this.watcher?.mayFailToRead ?? (() => true);
      if (this.chance(this.faults.readErrorChance) && mayFail(file, offset, lengthBytes)) return err('io');
      if (this.isUnreadable(file, offset, lengthBytes)) return err('io');
      if (lengthBytes > 0 && this.chance(this.faults.rotChance)) {
        this.flipBit(file, offset + randomInt(this.random, 0, lengthBytes - 1), randomInt(this.random, 0, 7));
      }
      return ok(found.read(offset, lengthBytes));
    });
  }

  write(file: string, offset: number, bytes: Uint8Array, done: Completion<void>): void {
    const target = this.names.get(file);
    const flying = target === undefined ? null : { file: target, offset, bytes: copyOf(bytes) };
    if (flying !== null) this.flying.add(flying);
    const fate = this.watcher?.write(file) ?? 'kept';
    this.later('write', file, done, () => {
      if (flying === null) return err('missing');
      this.flying.delete(flying);
      if (offset < 0 || offset + bytes.length > flying.file.length) return err('short');
      if (this.chance(this.faults.writeErrorChance)) {
        flying.file.write(offset, flying.bytes, () => randomChance(this.random, 0.5));
        return err('io');
      }
      const lost = fate === 'lost' || this.chance(this.faults.lostWriteChance);
      const at = lost ? offset : this.landing(flying, fate === 'misdirected');
      if (lost || at !== offset) flying.file.hurtAt(offset, bytes.length);
      if (at !== offset) flying.file.hurtAt(at, bytes.length);
      if (!lost) flying.file.write(at, flying.bytes);
      return ok(undefined);
    });
  }

  /**
   * The length grows with every append, also one whose bytes get lost or land elsewhere: those go another way than the
   * file's length does. Where there is too little room, or the drive fails, a first part may be there.
   */
  append(file: string, bytes: Uint8Array, done: Completion<void>): void {
    const target = this.names.get(file);
    const flying = target === undefined ? null : { file: target, offset: null, bytes: copyOf(bytes) };
    if (flying !== null) this.flying.add(flying);
    const fate = this.watcher?.write(file) ?? 'kept';
    this.later('append', file, done, () => {
      if (flying === null) return err('missing');
      this.flying.delete(flying);
      const room = Math.max(0, this.faults.capacityBytes - this.usedBytes());
      if (bytes.length > room) {
        this.appendPart(flying, room);
        return err('no-space');
      }
      if (this.chance(this.faults.writeErrorChance)) {
        this.appendPart(flying, bytes.length);
        return err('io');
      }
      const offset = flying.file.length;
      flying.file.grow(bytes.length);
      const lost = fate === 'lost' || this.chance(this.faults.lostWriteChance);
      const at = lost ? offset : this.landing({ ...flying, offset }, fate === 'misdirected');
      if (lost || at !== offset) flying.file.hurtAt(offset, bytes.length);
      if (at !== offset) flying.file.hurtAt(at, bytes.length);
      if (!lost) flying.file.write(at, flying.bytes);
      return ok(undefined);
    });
  }

  /** What an append that did not come to its end leaves: any first part of its length, and any of its sectors. */
  private appendPart({ file, bytes }: FlyingWrite, lengthBytesMax: number): void {
    const lengthBytes = randomInt(this.random, 0, Math.min(lengthBytesMax, bytes.length));
    const offset = file.length;
    file.grow(lengthBytes);
    file.write(offset, bytes.slice(0, lengthBytes), () => randomChance(this.random, 0.5));
  }

  /** Where a write really goes. */
  private landing({ file, offset, bytes }: FlyingWrite & { readonly offset: number }, misdirected: boolean): number {
    if (!misdirected && !this.chance(this.faults.misdirectedWriteChance)) return offset;
    const within = offset % simSectorBytes;
    const sectors = Math.floor((file.length - bytes.length - within) / simSectorBytes);
    return sectors < 0 ? offset : within + randomInt(this.random, 0, sectors) * simSectorBytes;
  }

  /** A write, then a sync of its own sectors and no others: a crash in between leaves any of them. */
  writeDurable(file: string, offset: number, bytes: Uint8Array, done: Completion<void>): void {
    this.write(file, offset, bytes, (written) => {
      if (!written.ok) return done(written);
      const found = this.names.get(file);
      const point = found?.syncPoint() ?? 0;
      this.watcher?.sync(file);
      this.later('sync', file, done, () => {
        if (found === undefined) return err('missing');
        if (this.chance(this.faults.syncErrorChance)) {
          found.loseUnsynced(this.random);
          return err('io');
        }
        found.syncedRange(point, offset, bytes.length);
        return ok(undefined);
      });
    });
  }

  sync(file: string, done: Completion<void>): void {
    const found = this.names.get(file);
    const point = found?.syncPoint() ?? 0;
    this.watcher?.sync(file);
    this.later('sync', file, done, () => {
      if (found === undefined) return err('missing');
      if (this.chance(this.faults.syncErrorChance)) {
        // As Linux does it: the pages are dropped as if they were clean, and the next sync would succeed.
        found.loseUnsynced(this.random);
        return err('io');
      }
      found.synced(point);
      return ok(undefined);
    });
  }

  syncDirectory(done: Completion<void>): void {
    const covered = this.changesSynced + this.changes.length;
    this.watcher?.syncDirectory(this.changes.length);
    this.later('syncDirectory', '', done, () => {
      if (this.chance(this.faults.syncErrorChance)) return err('io');
      // Another sync may have ended since, and taken a first part of these away.
      const count = Math.max(0, covered - this.changesSynced);
      for (const change of this.changes.splice(0, count)) applyChange(this.durableNames, change);
      this.changesSynced += count;
      return ok(undefined);
    });
  }

  rename(from: string, to: string, done: Completion<void>): void {
    this.later('rename', from, done, () => {
      if (!this.names.has(from)) return err('missing');
      const change = { type: 'rename', from, to } as const;
      applyChange(this.names, change);
      this.changes.push(change);
      return ok(undefined);
    });
  }

  remove(file: string, done: Completion<void>): void {
    this.later('remove', file, done, () => {
      if (!this.names.has(file)) return err('missing');
      const change = { type: 'remove', name: file } as const;
      applyChange(this.names, change);
      this.changes.push(change);
      return ok(undefined);
    });
  }

  free(done: Completion<number>): void {
    this.later('free', '', done, () => {
      const { capacityBytes, capacityUntold } = this.faults;
      const freeBytes = capacityUntold ? Number.MAX_SAFE_INTEGER : Math.max(0, capacityBytes - this.usedBytes());
      this.watcher?.told(freeBytes);
      return ok(freeBytes);
    });
  }

  /** Power is gone. What was under way never completes; of what was not synced, any part is lost. */
  crash(): void {
    this.kill();
    const keeps = this.nextCrashKeeps;
    this.nextCrashKeeps = 'some';
    if (keeps === 'everything') return;
    const survivors = new Map(this.durableNames);
    const kept = keeps === 'nothing' ? 0 : randomInt(this.random, 0, this.changes.length);
    for (const change of this.changes.slice(0, kept)) applyChange(survivors, change);
    this.changes = [];
    this.names = survivors;
    this.durableNames = new Map(survivors);
    for (const file of new Set(survivors.values())) file.loseUnsynced(this.random, keeps === 'nothing');
  }

  /** The process is gone and the machine goes on: its cache keeps every write that was done, and parts of those under way. */
  kill(): void {
    this.boot += 1;
    for (const flying of this.flying) {
      const { file, offset, bytes } = flying;
      if (offset === null) this.appendPart(flying, bytes.length);
      else if (offset >= 0 && offset + bytes.length <= file.length)
        file.write(offset, bytes, () => randomChance(this.random, 0.5));
    }
    this.flying = new Set();
  }

  /** Flips one bit on the platter, silently. */
  flipBit(file: string, offset: number, bit: number): void {
    const found = this.existing(file);
    assert(offset < found.length, 'the bit is within the file');
    found.flipBit(offset, bit);
  }

  /** Other bytes are found on the platter, silently. */
  replaceBytes(file: string, offset: number, bytes: Uint8Array): void {
    const before = this.bytesAt(file, offset, bytes.length);
    assert(before !== undefined, 'the bytes are within the file');
    for (const [i, byte] of bytes.entries()) {
      const changed = byte ^ (before[i] ?? 0);
      for (let bit = 0; bit < 8; bit++) if ((changed & (1 << bit)) !== 0) this.flipBit(file, offset + i, bit);
    }
  }

  /** Flips one bit anywhere; returns where. */
  rot(): { readonly file: string; readonly offset: number; readonly bit: number } {
    const file = randomPick(this.random, [...this.names.keys()].sort());
    const offset = randomInt(this.random, 0, this.existing(file).length - 1);
    const bit = randomInt(this.random, 0, 7);
    this.flipBit(file, offset, bit);
    return { file, offset, bit };
  }

  /** The directory is empty, as if the disk was replaced by a new one. */
  wipe(): void {
    this.names.clear();
    this.durableNames.clear();
    this.changes = [];
  }

  /** The sector at that offset fails to read until it is written again. */
  breakSector(file: string, offset: number): void {
    const found = this.existing(file);
    found.unreadable.add(Math.floor(offset / simSectorBytes));
    found.hurtAt(offset, 1);
  }

  usedBytes(): number {
    let used = 0;
    for (const file of this.names.values()) used += file.length;
    return used;
  }

  /** Names now, sorted. */
  fileNames(): readonly string[] {
    return [...this.names.keys()].sort();
  }

  /** Bytes of a file; 0 when there is none of that name. */
  sizeOf(file: string): number {
    return this.names.get(file)?.length ?? 0;
  }

  /** What a read would give at this moment, without one; undefined outside of any file. */
  bytesAt(file: string, offset: number, lengthBytes: number): Uint8Array | undefined {
    const found = this.names.get(file);
    if (found === undefined || offset < 0 || offset + lengthBytes > found.length) return undefined;
    return found.read(offset, lengthBytes);
  }

  /** A read would give exactly these bytes. */
  holds(file: string, offset: number, bytes: Uint8Array): boolean {
    return this.names.get(file)?.holds(offset, bytes) ?? false;
  }

  /** The machine boots over it. */
  forgetDamage(): void {
    for (const file of this.names.values()) file.forgetHurt();
  }

  /** A crash now would leave exactly these bytes under this name. */
  isSynced(file: string, offset: number, lengthBytes: number): boolean {
    const found = this.names.get(file);
    return found !== undefined && this.durableNames.get(file) === found && found.isSynced(offset, lengthBytes);
  }

  /** The drive cannot read some of these bytes. */
  isUnreadable(file: string, offset: number, lengthBytes: number): boolean {
    const unreadable = this.names.get(file)?.unreadable;
    if (unreadable === undefined || unreadable.size === 0) return false;
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let sector = Math.floor(offset / simSectorBytes); sector <= last; sector++) {
      if (unreadable.has(sector)) return true;
    }
    return false;
  }

  /** A fault has hit these bytes since the boot; whoever wrote them was told that all is well. */
  isDamaged(file: string, offset: number, lengthBytes: number): boolean {
    return this.names.get(file)?.isHurt(offset, lengthBytes) ?? false;
  }

  /** Contents as reads see them now. */
  snapshot(): Map<string, Uint8Array> {
    return new Map([...this.names].map(([name, file]) => [name, file.read(0, file.length)]));
  }

  private existing(file: string): SimDiskFile {
    const found = this.names.get(file);
    assert(found !== undefined, () => `the simulated disk has a file ${file}`);
    return found;
  }
}

function applyChange(names: Map<string, SimDiskFile>, change: DirectoryChange): void {
  switch (change.type) {
    case 'create':
      names.set(change.name, change.file);
      return;
    case 'rename': {
      const file = names.get(change.from);
      if (file === undefined) return;
      names.delete(change.from);
      names.set(change.to, file);
      return;
    }
    case 'remove':
      names.delete(change.name);
      return;
  }
}

export const createSimDisk = (options: SimDiskOptions): SimDisk => new SimDisk(options);
