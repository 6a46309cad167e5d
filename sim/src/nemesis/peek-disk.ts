import { assert, err, ok } from '@kimberlite/base';
import type { Disk, DiskError } from '@kimberlite/log';
import type { SimDisk } from '../disk.ts';

const missing = (file: string): DiskError => ({ code: 'missing', file, message: `${file} is not there` });
const refuse = (): never => assert(false, 'a disk that is only looked at is not changed') as never;

/** A simulated disk as it is at this moment, to be read by the log's own code at once and without a trace. */
export const peekDisk = (platter: SimDisk): Disk => ({
  list: (done) => done(ok(platter.fileNames())),
  size: (file, done) => {
    const bytes = platter.peek(file);
    done(bytes === undefined ? err(missing(file)) : ok(bytes.length));
  },
  read: (file, offset, lengthBytes, done) => {
    const bytes = platter.peek(file);
    if (bytes === undefined) return done(err(missing(file)));
    if (offset + lengthBytes > bytes.length) return done(err({ code: 'short', file, message: `${file} is too short` }));
    if (platter.isUnreadable(file, offset, lengthBytes)) {
      return done(err({ code: 'io', file, message: `${file} cannot be read at ${offset}` }));
    }
    done(ok(bytes.subarray(offset, offset + lengthBytes)));
  },
  create: refuse,
  write: refuse,
  sync: refuse,
  syncDirectory: refuse,
  rename: refuse,
  remove: refuse,
});
