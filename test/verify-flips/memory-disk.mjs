import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The files of a directory in memory, where a bit is quickly turned over and back. The part of `Disk` that reads. */
export class MemoryDisk {
  files = new Map();

  constructor(directory) {
    for (const name of readdirSync(directory)) {
      if (statSync(join(directory, name)).isFile())
        this.files.set(name, new Uint8Array(readFileSync(join(directory, name))));
    }
  }

  list = (done) => queueMicrotask(() => done({ ok: true, value: [...this.files.keys()] }));

  size = (file, done) => queueMicrotask(() => done(this.#with(file, (bytes) => bytes.length)));

  read = (file, offset, lengthBytes, done) =>
    queueMicrotask(() => {
      const bytes = this.files.get(file);
      if (bytes !== undefined && offset + lengthBytes > bytes.length)
        return done({
          ok: false,
          error: { code: 'short', file, message: `${file} ends before ${offset + lengthBytes}` },
        });
      return done(this.#with(file, () => bytes.slice(offset, offset + lengthBytes)));
    });

  flip(file, offset, bit) {
    this.files.get(file)[offset] ^= 1 << bit;
  }

  #with(file, get) {
    const bytes = this.files.get(file);
    if (bytes === undefined) return { ok: false, error: { code: 'missing', file, message: `${file} does not exist` } };
    return { ok: true, value: get(bytes) };
  }
}
