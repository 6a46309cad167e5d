import type { Checksum } from './ids.ts';
import { checkpointPartBytes } from './limits.ts';
import type { PrepareHeader } from './prepare.ts';

// A checkpoint's content is one stream of canonical bytes, cut into parts; its manifest lists the parts' hashes. All
// of it is equal on all replicas that have the checkpoint.

/** What names a checkpoint. */
export interface CheckpointRef {
  /** Of the op it was taken at: the log goes on from there. */
  readonly header: PrepareHeader;
  readonly contentBytes: number;
  /** Of the manifest, which holds the header and the hash of every part. */
  readonly checksum: Checksum;
}

/** Parts of a content of that length; all but the last are `checkpointPartBytes` long. */
export const checkpointParts = (contentBytes: number): number => Math.ceil(contentBytes / checkpointPartBytes);
