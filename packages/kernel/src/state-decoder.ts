import { assert, type DecodeText, decodeUtf8, err, ok, type Result } from '@kimberlite/base';
import { type Building, builtState, newBuilding, readRecord } from './decode.ts';
import { recordBytesMax } from './limits.ts';
import { PackedReader } from './packed.ts';
import type { KernelState } from './state.ts';

// Cuts a stream of bytes into the records of an encoded state. Records lie across the borders of the pieces they come
// in, so the beginning of one is kept until the rest has come; all others are read where they are.

/** Bytes of a record in front of its key. */
const beforeKeyBytes = 5;
/** Bytes of the length in front of a value. */
const beforeValueBytes = 4;
/** Lengths that are learned of a record as it comes: to the end of what is before the key, of the key, of the value. */
const lengthsLearned = 3;

/** Reads the state that `encode` wrote, in pieces of any size. Total: what is damaged is an error, whatever it is. */
export interface StateDecoder {
  /** The next bytes, which are not kept. Costs what they are, and nothing of what came before them. */
  readonly push: (bytes: Uint8Array) => Result<void, string>;
  /** Says that all has come. In constant time: what is derived was built as the rows came. */
  readonly finish: () => Result<KernelState, string>;
}

/** Bytes of the record at `at`, as far as the `available` bytes of it tell; more than these while they do not. */
function recordLength(data: DataView, at: number, available: number): number {
  if (available < beforeKeyBytes) return beforeKeyBytes;
  const valueAt = beforeKeyBytes + data.getUint32(at + 1) + beforeValueBytes;
  if (available < valueAt) return valueAt;
  return valueAt + data.getUint32(at + valueAt - beforeValueBytes);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

class RecordStream {
  private readonly decodeText: DecodeText;
  private readonly building: Building = newBuilding();
  /** Bytes of the records read so far. */
  private offset = 0;
  /** The beginning of a record that is not all there. */
  private kept = new Uint8Array(4_096);
  private keptLength = 0;
  /** Why there will be no state. */
  private failure: string | undefined;

  constructor(decodeText: DecodeText) {
    this.decodeText = decodeText;
  }

  push(bytes: Uint8Array): Result<void, string> {
    if (this.failure === undefined) this.failure = this.read(bytes);
    return this.failure === undefined ? ok(undefined) : err(this.failure);
  }

  finish(): Result<KernelState, string> {
    if (this.failure !== undefined) return err(this.failure);
    if (this.keptLength > 0) this.failure = `record at byte ${this.offset} is cut off`;
    else if (this.offset === 0) this.failure = 'there is nothing';
    if (this.failure !== undefined) return err(this.failure);
    this.failure = 'the state was given out';
    return ok(builtState(this.building));
  }

  private read(given: Uint8Array): string | undefined {
    // Of a subclass (a platform's buffer), views would be objects of that class and cost several times as much.
    const bytes = new Uint8Array(given.buffer, given.byteOffset, given.length);
    let at = 0;
    if (this.keptLength > 0) {
      at = this.complete(bytes);
      if (this.failure !== undefined || this.keptLength > 0) return this.failure;
    }
    const data = viewOf(bytes);
    const reader = new PackedReader(bytes, this.decodeText);
    while (at < bytes.length) {
      const length = recordLength(data, at, bytes.length - at);
      if (length > recordBytesMax) return this.problem('is larger than any can be');
      if (length > bytes.length - at) break;
      reader.at = at;
      const problem = this.readOne(reader, length);
      if (problem !== undefined) return problem;
      at += length;
    }
    this.keep(bytes, at, bytes.length - at);
    return undefined;
  }

  private problem(what: string): string {
    return `record at byte ${this.offset} ${what}`;
  }

  private readOne(reader: PackedReader, length: number): string | undefined {
    const problem = readRecord(this.building, reader);
    if (problem !== undefined) return this.problem(problem);
    this.offset += length;
    return undefined;
  }

  /** Goes on with the record that is kept, and reads it when it is whole. Gives how many of the bytes it took. */
  private complete(bytes: Uint8Array): number {
    let taken = 0;
    for (let i = 0; i < lengthsLearned; i++) {
      const length = recordLength(viewOf(this.kept), 0, this.keptLength);
      if (length > recordBytesMax) {
        this.failure = this.problem('is larger than any can be');
        return taken;
      }
      const missing = Math.min(length - this.keptLength, bytes.length - taken);
      this.keep(bytes, taken, missing);
      taken += missing;
      if (this.keptLength < length) return taken;
    }
    const whole = this.kept.subarray(0, this.keptLength);
    this.keptLength = 0;
    this.failure = this.readOne(new PackedReader(whole, this.decodeText), whole.length);
    return taken;
  }

  private keep(bytes: Uint8Array, at: number, length: number): void {
    const end = this.keptLength + length;
    assert(end <= recordBytesMax, 'what is kept of a record is bounded');
    if (end > this.kept.length) {
      const grown = new Uint8Array(Math.max(end, this.kept.length * 2));
      grown.set(this.kept.subarray(0, this.keptLength));
      this.kept = grown;
    }
    this.kept.set(bytes.subarray(at, at + length), this.keptLength);
    this.keptLength = end;
  }
}

/** A decoder for one state. The platform may decode text; it has to give what `decodeUtf8` gives. */
export function decoder(decodeText: DecodeText = decodeUtf8): StateDecoder {
  const stream = new RecordStream(decodeText);
  return { push: (bytes) => stream.push(bytes), finish: () => stream.finish() };
}

/** The state whose chunks these are, joined in order. The error says where they are damaged. */
export function decode(chunks: readonly Uint8Array[]): Result<KernelState, string> {
  const { push, finish } = decoder();
  for (const chunk of chunks) {
    const pushed = push(chunk);
    if (!pushed.ok) return pushed;
  }
  return finish();
}
