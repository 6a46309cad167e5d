import { assert, err, ok } from '@kimberlite/base';
import type { Disk, DiskError } from '@kimberlite/log';
import type { SimDisk } from '../disk.ts';

const missing = (file: string): DiskError => ({ code: 'missing', file, message: `${file} is not there` });
const refuse = (): never => assert(false, 'a disk that is only looked at is not changed') as never;

/** A simulated disk as it is at this moment, to be read by the log's own code at once and without a trace. */
export const peekDisk = (platter: SimDisk): Disk => ({
  list: (done) => done(ok(platter.fileNames())),
  size: (file, done) => {
    const sizeBytes = platter.sizeOf(file);
    done(sizeBytes === 0 ? err(missing(file)) : ok(sizeBytes));
  },
  read: (file, offset, lengthBytes, done) => {
    const bytes = platter.bytesAt(file, offset, lengthBytes);
    if (bytes === undefined) return done(err(missing(file)));
    if (platter.isUnreadable(file, offset, lengthBytes)) {
      return done(err({ code: 'io', file, message: `${file} cannot be read at ${offset}` }));
    }
    done(ok(bytes));
  },
  create: refuse,
  write: refuse,
  append: refuse,
  writeDurable: refuse,
  sync: refuse,
  syncDirectory: refuse,
  rename: refuse,
  remove: refuse,
  free: refuse,
});
