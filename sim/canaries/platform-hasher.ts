import { createHash } from 'node:crypto';
import type { Checksum, Hasher } from '@kimberlite/base';

export const platformHasher: Hasher = (bytes) =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32) as Checksum;
