import {
  type Checksum,
  decodePrepare,
  decodePrepareHeader,
  type Hasher,
  hexInto,
  prepareHeaderBytes,
} from '@kimberlite/base';
import type { SimDisk } from '../disk.ts';

/** Where `wanted` starts in `bytes` at or after `from`, or -1. */
function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  const [first = 0] = wanted;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    let i = 1;
    while (i < wanted.length && bytes[at + i] === wanted[i]) i += 1;
    if (i === wanted.length) return at;
  }
  return -1;
}

/** True when a whole, intact copy of the prepare lies on any of the disks, wherever: then it can be repaired. */
export function isOnSomeDisk(disks: readonly SimDisk[], id: Checksum, hasher: Hasher): boolean {
  const wanted = new Uint8Array(id.length / 2);
  hexInto(id, wanted, 0);
  for (const disk of disks) {
    for (const bytes of disk.snapshot().values()) {
      for (let at = indexOfBytes(bytes, wanted, 0); at >= 0; at = indexOfBytes(bytes, wanted, at + 1)) {
        const header = decodePrepareHeader(bytes.subarray(at, at + prepareHeaderBytes), hasher);
        if (!header.ok) continue;
        const end = at + prepareHeaderBytes + header.value.bodyLengthBytes;
        if (decodePrepare(bytes.subarray(at, end), hasher).ok) return true;
      }
    }
  }
  return false;
}
