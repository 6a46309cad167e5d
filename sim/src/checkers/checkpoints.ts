import { type Hasher, replicasMax } from '@kimberlite/base';
import type { CheckpointView, World } from './checker.ts';
import type { Platter } from './platters.ts';

// Checkpoints on the disks, read from the bytes: a second reading of the format (packages/log checkpoint-file.ts,
// packages/base checkpoint.ts).

const blockBytes = 4096;
const partBytes = 262_144;
/** Of a manifest, before the hashes of the parts. */
const manifestHeadBytes = 24 + 128;
const hashBytes = 16;

const alignToBlock = (sizeBytes: number): number => Math.ceil(sizeBytes / blockBytes) * blockBytes;
const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Whether the file of that checkpoint is whole, and no crash can undo it; or a fault has hit it since the boot. */
export function isCheckpointThere(platter: Platter, checkpoint: CheckpointView, hasher: Hasher): boolean {
  const file = `checkpoint-${`${checkpoint.op}`.padStart(16, '0')}.ckp`;
  const bytes = platter.snapshot().get(file);
  if (bytes === undefined) return false;
  if (platter.isDamaged(file, 0, bytes.length)) return true;
  const { contentBytes, checksum } = checkpoint;
  const parts = Math.ceil(contentBytes / partBytes);
  const manifestAt = blockBytes + alignToBlock(contentBytes);
  const manifest = bytes.subarray(manifestAt, manifestAt + manifestHeadBytes + parts * hashBytes);
  if (hasher(manifest) !== checksum) return false;
  for (let part = 0; part < parts; part++) {
    const at = blockBytes + part * partBytes;
    const end = Math.min(at + partBytes, blockBytes + contentBytes);
    const hashAt = manifestHeadBytes + part * hashBytes;
    if (hasher(bytes.subarray(at, end)) !== hexOf(manifest.subarray(hashAt, hashAt + hashBytes))) return false;
  }
  return platter.isSynced(file, 0, bytes.length);
}

/** By replica: everything up to this op is in a checkpoint that its superblock names and that is there. */
export function coveredBy(world: World): readonly number[] {
  return Array.from({ length: replicasMax }, (_, replica) => {
    const { checkpoints } = world.superblock(replica);
    const there = checkpoints.find((checkpoint) => isCheckpointThere(world.platter(replica), checkpoint, world.hasher));
    return there?.op ?? 0;
  });
}
