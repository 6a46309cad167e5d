import type { DiskWatcher, SimDisk } from '../disk.ts';
import { type FileTarget, isOfTarget } from './kinds.ts';

/** Of those that a log makes; its headers files may be smaller, but come with a segment. */
const smallestFileBytes = 4096;

/** What a trap waits for on one disk. Each springs once. */
export type DiskTrap =
  | { readonly on: 'write' | 'sync'; readonly target: FileTarget; readonly spring: () => void }
  /** A sync of the directory while names are not durable. */
  | { readonly on: 'names'; readonly spring: () => void }
  /** A write that is to be lost or to land elsewhere. */
  | {
      readonly on: 'fate';
      readonly target: FileTarget;
      readonly fate: 'lost' | 'misdirected';
      readonly spring: () => void;
    }
  /** A call that fails. */
  | {
      readonly on: 'failure';
      readonly call: 'read' | 'sync' | 'write' | 'create' | 'append';
      readonly spring: () => void;
    };

/** Faults of one disk that lie in wait for the call that they fit. */
export class DiskTraps implements DiskWatcher {
  mayFailToRead: DiskWatcher['mayFailToRead'] = () => true;
  private traps: DiskTrap[] = [];

  constructor(platter: SimDisk) {
    platter.watcher = this;
  }

  /** Takes the trap away again if it has not sprung. */
  set(trap: DiskTrap): () => void {
    this.traps.push(trap);
    return () => {
      this.traps = this.traps.filter((other) => other !== trap);
    };
  }

  /** A write of such a file is already to be lost or to go elsewhere. */
  hasFateFor(target: FileTarget): boolean {
    return this.traps.some((trap) => trap.on === 'fate' && trap.target === target);
  }

  clear(): void {
    this.traps = [];
  }

  private take(fits: (trap: DiskTrap) => boolean): DiskTrap | null {
    const at = this.traps.findIndex(fits);
    if (at < 0) return null;
    const [trap] = this.traps.splice(at, 1);
    trap?.spring();
    return trap ?? null;
  }

  write(file: string): 'kept' | 'lost' | 'misdirected' {
    if (this.traps.length === 0) return 'kept';
    this.take((trap) => trap.on === 'write' && isOfTarget(file, trap.target));
    const trap = this.take((candidate) => candidate.on === 'fate' && isOfTarget(file, candidate.target));
    return trap?.on === 'fate' ? trap.fate : 'kept';
  }

  sync(file: string): void {
    if (this.traps.length > 0) this.take((trap) => trap.on === 'sync' && isOfTarget(file, trap.target));
  }

  syncDirectory(changes: number): void {
    if (this.traps.length > 0 && changes > 0) this.take((trap) => trap.on === 'names');
  }

  /** Whoever has no room for the smallest file of a log does not try to make one. */
  told(freeBytes: number): void {
    if (freeBytes < smallestFileBytes) this.failed('create');
  }

  failed(call: string): void {
    const kind = call === 'syncDirectory' ? 'sync' : call;
    if (this.traps.length > 0) this.take((trap) => trap.on === 'failure' && trap.call === kind);
  }
}
