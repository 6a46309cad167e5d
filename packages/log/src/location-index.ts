import type { Checksum } from '@kimberlite/base';
import { blockBytes, type Location } from './layout.ts';

// Seven 32-bit words an op (28 bytes): segment, block, prepare length, and the id's 128 bits.
const wordsPerOp = 7;
const opsPerChunk = 8192;

/** Where the intact prepare of each op is. Only what is durable is entered. */
export class LocationIndex {
  private readonly chunks: (Uint32Array | undefined)[] = [];
  /** Highest op ever entered. */
  highest = 0;

  private chunkOf(op: number): Uint32Array | undefined {
    return this.chunks[Math.floor(op / opsPerChunk)];
  }

  set(op: number, place: Location, id: Checksum): void {
    const number = Math.floor(op / opsPerChunk);
    let chunk = this.chunks[number];
    if (chunk === undefined) {
      chunk = new Uint32Array(opsPerChunk * wordsPerOp);
      this.chunks[number] = chunk;
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
