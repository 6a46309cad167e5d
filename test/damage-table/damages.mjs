import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { inspectOp, openLogReader } from '@kimberlite/log';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { createFileDisk } from '../../packages/node/dist/file-disk.js';

// Damage done from outside to the files of a node, running or not; and where what a node relies on lies.

const copyBytes = 16_384;
const blockBytes = 4096;
const recordBytes = 256;

const access = (path, flags, use) => {
  const fd = openSync(path, flags);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
};
const bytesAt = (path, offset, length) =>
  access(path, 'r', (fd) => {
    const bytes = new Uint8Array(length);
    readSync(fd, bytes, 0, length, offset);
    return bytes;
  });
function replace(path, offset, bytes) {
  const before = bytesAt(path, offset, bytes.length);
  if (before.every((byte, i) => byte === bytes[i])) throw new Error(`nothing would change in ${path} at ${offset}`);
  access(path, 'r+', (fd) => writeSync(fd, bytes, 0, bytes.length, offset));
}

/** What the directory says of itself, read beside the node. */
async function look(directory) {
  const disk = createFileDisk({ directory, readOnly: true });
  const options = { disk, hasher: nodeHasher, crc32: nodeCrc32 };
  const call = (start) =>
    new Promise((resolve, reject) => start((result) => (result.ok ? resolve(result.value) : reject(result.error))));
  try {
    const reader = await call((done) => openLogReader(options, done));
    const oldest = reader.checkpoints[0]?.header.op ?? 0;
    const ops = [...reader.headers]
      .filter(([op, record]) => record.state === 'header' && op > Math.max(oldest, reader.superblock.trim.op) + 2)
      .map(([op]) => op)
      .sort((a, b) => a - b);
    return { reader, ops, inspect: (op) => call((done) => inspectOp(options, op, done)) };
  } finally {
    await new Promise((resolve) => disk.close(resolve));
  }
}

/**
 * Two places of one kind that the node relies on: what is damaged, and from where a misdirected write comes. `share`
 * says where between the first and the last.
 */
export async function places(directory, kind, share) {
  if (kind === 'superblock') {
    const copy = Math.floor(share * 3);
    // What is behind it may be zeros.
    const at = (n) => ({ file: 'superblock', offset: n * copyBytes, bytes: 256 });
    return [at(copy), at(copy + 1)];
  }
  const seen = await look(directory);
  if (kind === 'checkpoint') {
    const ref = seen.reader.checkpoints.at(-1);
    const name = readdirSync(directory).find(
      (file) => file.startsWith('checkpoint-') && Number(file.slice(11, 27)) === ref.header.op,
    );
    const blocks = Math.floor(ref.contentBytes / blockBytes) - 1;
    const at = (n) => ({ file: name, offset: blockBytes * (1 + n), bytes: blockBytes });
    const block = Math.floor(share * (blocks - 1));
    return [at(block), at(block + 1)];
  }
  const at = (op) => {
    const { place } = seen.reader.headers.get(op);
    if (kind === 'segment')
      return {
        file: `segment-${String(place.segment).padStart(8, '0')}.wal`,
        offset: place.offset,
        bytes: 64 + place.lengthBytes,
      };
    const slots = 256;
    return {
      file: `headers-${String(Math.floor((op - 1) / slots) + 1).padStart(8, '0')}.wal`,
      offset: blockBytes + ((op - 1) % slots) * recordBytes,
      bytes: recordBytes,
    };
  };
  // Not the last ones: those may be on their way to the disk.
  const usable = seen.ops.slice(0, -20);
  const index = Math.floor(share * (usable.length - 2));
  return [at(usable[index]), at(usable[index + 1])];
}

/** Does it, or has `unreadable` do it, and returns where. */
export async function damage(directory, kind, how, share, unreadable) {
  const [target, other] = await places(directory, kind, share);
  const path = join(directory, target.file);
  switch (how) {
    case 'rot': {
      const at = target.offset + Math.floor(target.bytes / 3);
      replace(path, at, Uint8Array.of(bytesAt(path, at, 1)[0] ^ 0x10));
      return target;
    }
    case 'torn': {
      const half = Math.floor(target.bytes / 2);
      replace(path, target.offset + half, new Uint8Array(target.bytes - half));
      return target;
    }
    case 'misdirected': {
      const bytes = Math.min(target.bytes, other.bytes);
      replace(path, target.offset, bytesAt(join(directory, other.file), other.offset, bytes));
      return target;
    }
    case 'unreadable':
      unreadable(target);
      return target;
    default:
      throw new Error(`no such damage: ${how}`);
  }
}
