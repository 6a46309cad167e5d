/** Large enough that making one is rare, small enough that one that is kept alive by a single page does not hurt. */
const slabBytes = 262_144;
/** Longer ones get an array of their own. */
const cutBytesMax = 32_768;

let slab = new Uint8Array(slabBytes);
let used = 0;

/**
 * A zeroed array, cut from a large one that nobody else has a part of: an array with memory of its own costs the engine
 * more than all that is done with its bytes. No part is ever handed out twice.
 */
export function zeroedBytes(length: number): Uint8Array {
  if (length > cutBytesMax) return new Uint8Array(length);
  if (used + length > slabBytes) {
    slab = new Uint8Array(slabBytes);
    used = 0;
  }
  const bytes = slab.subarray(used, used + length);
  used += Math.ceil(length / 8) * 8;
  return bytes;
}

export function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = zeroedBytes(bytes.length);
  copy.set(bytes);
  return copy;
}
