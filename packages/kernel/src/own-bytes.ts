import { assert } from '@kimberlite/base';

// State keeps its own copy of every bytes value: what a command carries may be a view of the frame it came in. A
// buffer of its own is by far the dearest part of a small row (an allocation outside the heap, which the collector
// has to keep account of), so small values are cut from slabs. A slab lives while one value cut from it does: in the
// worst case, where all the others went away, a value keeps `slabBytes` from being freed.

/** Bytes up to which an engine keeps a typed array inside its heap, where nothing is gained by sharing. */
const heapBytesMax = 64;
/** Bytes of the largest value that is cut from a slab; a larger one is worth its own buffer. */
const slabbedBytesMax = 1_024;
/** Bytes of a slab: few enough to waste little, enough for some thirty values of the usual size. */
const slabBytes = 8_192;

assert(slabbedBytesMax * 8 <= slabBytes, 'the tail of a slab that is left unused is a small part of it');

let slab = new Uint8Array(slabBytes);
let taken = 0;

/** A copy that shares no byte with `value`. Never change what it is a view of: its neighbours are other rows. */
export function ownBytes(value: Uint8Array): Uint8Array {
  const { length } = value;
  if (length <= heapBytesMax || length > slabbedBytesMax) return new Uint8Array(value);
  if (taken + length > slabBytes) {
    slab = new Uint8Array(slabBytes);
    taken = 0;
  }
  slab.set(value, taken);
  const own = new Uint8Array(slab.buffer, taken, length);
  taken += length;
  assert(taken <= slabBytes, 'a slab is not filled beyond its end');
  return own;
}
