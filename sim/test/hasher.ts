import { createHash } from 'node:crypto';
import type { Checksum, Hasher } from '@kimberlite/base';

/** The platform's SHA-256: the same runs as with the built-in one, sooner. */
export const platformHasher: Hasher = (bytes) =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32) as Checksum;
