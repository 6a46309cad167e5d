import { assert } from '@kimberlite/base';

/** Where blocks of numbers go that are too many to be kept in memory. */
export interface Spill {
  readonly write: (name: string, block: number, words: Uint32Array) => void;
  /** What was written under that name and number. */
  readonly read: (name: string, block: number) => Uint32Array;
  readonly remove: (name: string, block: number) => void;
}

/** Numbers in one block: large enough for a file of its own. */
const blockWordsDefault = 1 << 20;

export interface RecordListOptions {
  readonly name: string;
  /** Of one record. */
  readonly words: number;
  /** Null: everything stays in memory. */
  readonly spill: Spill | null;
  /** Blocks at the end of the list that are not spilled. */
  readonly blocksKept: number;
  readonly blockWords?: number;
}

/**
 * A list of records of a fixed number of words, written at its end and read mostly in order. Full blocks beyond a
 * number that may stay in memory are spilled.
 */
export class RecordList {
  length = 0;
  private readonly words: number;
  private readonly perBlock: number;
  private readonly name: string;
  private readonly spill: Spill | null;
  private readonly blocksKept: number;
  private readonly blocks: (Uint32Array | null)[] = [];
  /** The block that was read back last. */
  private readBack: { readonly block: number; readonly words: Uint32Array } | null = null;
  private forgotten = 0;

  constructor(options: RecordListOptions) {
    const { name, words, spill, blocksKept, blockWords = blockWordsDefault } = options;
    assert(blocksKept >= 1 && blockWords >= words, 'the block that is written to stays in memory and holds a record');
    this.name = name;
    this.words = words;
    this.perBlock = Math.floor(blockWords / words);
    this.spill = spill;
    this.blocksKept = blocksKept;
  }

  push(record: Uint32Array): void {
    const block = Math.floor(this.length / this.perBlock);
    if (block === this.blocks.length) {
      this.blocks.push(new Uint32Array(this.perBlock * this.words));
      this.spillOld(block);
    }
    const into = this.blocks[block];
    assert(into !== undefined && into !== null, 'the last block is in memory');
    into.set(record, (this.length % this.perBlock) * this.words);
    this.length += 1;
  }

  /** Copies record `at` into `into`. */
  read(at: number, into: Uint32Array): void {
    assert(at < this.length, 'within the list');
    const words = this.block(Math.floor(at / this.perBlock));
    const from = (at % this.perBlock) * this.words;
    for (let i = 0; i < this.words; i++) into[i] = words[from + i] as number;
  }

  /** Records before this one are not read again. */
  forgetBefore(at: number): void {
    const block = Math.floor(at / this.perBlock);
    for (; this.forgotten < block; this.forgotten++) {
      if (this.blocks[this.forgotten] === null) this.spill?.remove(this.name, this.forgotten);
      this.blocks[this.forgotten] = null;
    }
  }

  private block(block: number): Uint32Array {
    assert(block >= this.forgotten, 'not forgotten');
    const words = this.blocks[block];
    if (words !== undefined && words !== null) return words;
    if (this.readBack?.block === block) return this.readBack.words;
    assert(this.spill !== null, 'only spilled blocks are not in memory');
    const back = this.spill.read(this.name, block);
    this.readBack = { block, words: back };
    return back;
  }

  private spillOld(newest: number): void {
    const block = newest - this.blocksKept;
    const words = this.blocks[block];
    if (this.spill === null || block < this.forgotten || words === undefined || words === null) return;
    this.spill.write(this.name, block, words);
    this.blocks[block] = null;
  }
}
