import type { Checksum } from '@kimberlite/base';
import { blockBytes, type Location } from './layout.ts';

// Seven 32-bit words an op (28 bytes): segment, block, prepare length, and the id's 128 bits.
const wordsPerOp = 7;
const opsPerChunk = 8192;

/** Where the intact prepare of each op is. Only what is durable is entered. */
export class LocationIndex {
  private readonly chunks = new Map<number, Uint32Array>();
  /** Nothing below it is kept. */
  private lowest = 0;
  /** Highest op ever entered. */
  highest = 0;

  private chunkOf(op: number): Uint32Array | undefined {
    return this.chunks.get(Math.floor(op / opsPerChunk));
  }

  set(op: number, place: Location, id: Checksum): void {
    if (op < this.lowest) return;
    let chunk = this.chunkOf(op);
    if (chunk === undefined) {
      chunk = new Uint32Array(opsPerChunk * wordsPerOp);
      this.chunks.set(Math.floor(op / opsPerChunk), chunk);
    }
    const at = (op % opsPerChunk) * wordsPerOp;
    chunk[at] = place.segment;
    chunk[at + 1] = place.offset / blockBytes;
    chunk[at + 2] = place.lengthBytes;
    for (let i = 0; i < 4; i++) chunk[at + 3 + i] = Number.parseInt(id.slice(i * 8, i * 8 + 8), 16);
    if (op > this.highest) this.highest = op;
  }

  clear(op: number): void {
    const at = (op % opsPerChunk) * wordsPerOp;
    this.chunkOf(op)?.fill(0, at, at + wordsPerOp);
  }

  /** Lets go of everything below `op`. */
  dropBelow(op: number): void {
    if (op <= this.lowest) return;
    this.lowest = op;
    const first = Math.floor(op / opsPerChunk);
    for (const number of [...this.chunks.keys()]) if (number < first) this.chunks.delete(number);
    this.chunks.get(first)?.fill(0, 0, (op % opsPerChunk) * wordsPerOp);
  }

  /** The lowest segment that holds a prepare from `op` on; null when none does. */
  lowestSegment(op: number): number | null {
    let lowest: number | null = null;
    for (let at = op; at <= this.highest; at++) {
      const segment = this.place(at)?.segment;
      if (segment !== undefined && (lowest === null || segment < lowest)) lowest = segment;
    }
    return lowest;
  }

  /** Everything there is, ascending by op. Clearing an entry meanwhile is fine. */
  *entries(): Generator<{ readonly op: number; readonly id: Checksum; readonly place: Location }> {
    for (let op = this.lowest; op <= this.highest; op++) {
      const place = this.place(op);
      if (place !== null) yield { op, id: this.id(op), place };
    }
  }

  /** Of an op that has a place. */
  private id(op: number): Checksum {
    const chunk = this.chunkOf(op);
    const at = (op % opsPerChunk) * wordsPerOp;
    let id = '';
    for (let i = 0; i < 4; i++) id += (chunk?.[at + 3 + i] ?? 0).toString(16).padStart(8, '0');
    return id as Checksum;
  }

  place(op: number): Location | null {
    const chunk = this.chunkOf(op);
    const at = (op % opsPerChunk) * wordsPerOp;
    const segment = chunk?.[at] ?? 0;
    if (chunk === undefined || segment === 0) return null;
    return { segment, offset: (chunk[at + 1] ?? 0) * blockBytes, lengthBytes: chunk[at + 2] ?? 0 };
  }

  holds(op: number, id: Checksum): boolean {
    const chunk = this.chunkOf(op);
    const at = (op % opsPerChunk) * wordsPerOp;
    if (chunk === undefined || chunk[at] === 0) return false;
    for (let i = 0; i < 4; i++) {
      if (chunk[at + 3 + i] !== Number.parseInt(id.slice(i * 8, i * 8 + 8), 16)) return false;
    }
    return true;
  }
}
