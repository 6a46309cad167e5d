import {
  type CheckpointRef,
  checkpointPartBytes,
  checkpointParts,
  concatBytes,
  encodeManifest,
  type PrepareHeader,
  sha256Hasher,
} from '@kimberlite/base';

interface StoredCheckpoint {
  readonly ref: CheckpointRef;
  readonly manifest: Uint8Array;
  /** Null: not here, or rotten. */
  readonly parts: (Uint8Array | null)[];
}

/** Draws a content to its end and names it. */
function cut(header: PrepareHeader, content: Iterator<Uint8Array>): StoredCheckpoint {
  const pieces: Uint8Array[] = [];
  for (let next = content.next(); next.done !== true; next = content.next()) pieces.push(next.value);
  const bytes = concatBytes(pieces);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += checkpointPartBytes) {
    parts.push(bytes.slice(at, at + checkpointPartBytes));
  }
  const manifest = encodeManifest({ header, contentBytes: bytes.length, parts: parts.map(sha256Hasher) });
  return { ref: { header, contentBytes: bytes.length, checksum: sha256Hasher(manifest) }, manifest, parts };
}

/** The checkpoints of one replica. What is stored is durable; what is being received survives too. */
export class TestCheckpoints {
  private readonly stored = new Map<string, StoredCheckpoint>();
  private receiving: StoredCheckpoint | null = null;

  write(header: PrepareHeader, content: Iterator<Uint8Array>): CheckpointRef {
    const checkpoint = cut(header, content);
    this.stored.set(checkpoint.ref.checksum, checkpoint);
    return checkpoint.ref;
  }

  /** The part behind the last is the manifest. */
  read(ref: CheckpointRef, part: number): Uint8Array | null {
    const checkpoint = this.stored.get(ref.checksum);
    if (checkpoint === undefined) return null;
    if (part === checkpointParts(ref.contentBytes)) return checkpoint.manifest;
    return checkpoint.parts[part] ?? null;
  }

  receive(ref: CheckpointRef, manifest: Uint8Array): readonly number[] | null {
    if (sha256Hasher(manifest) !== ref.checksum) return null;
    const known = this.stored.get(ref.checksum) ?? this.receiving;
    const parts = known?.ref.checksum === ref.checksum ? known.parts : [];
    const count = checkpointParts(ref.contentBytes);
    this.receiving = { ref, manifest, parts: Array.from({ length: count }, (_, i) => parts[i] ?? null) };
    return this.receiving.parts.flatMap((part, i) => (part === null ? [i] : []));
  }

  store(ref: CheckpointRef, part: number, bytes: Uint8Array): boolean {
    const { receiving } = this;
    if (receiving === null || receiving.ref.checksum !== ref.checksum) return false;
    receiving.parts[part] = bytes;
    if (receiving.parts.every((known) => known !== null)) this.stored.set(ref.checksum, receiving);
    return true;
  }

  trim(keep: readonly CheckpointRef[]): void {
    const newest = Math.max(0, ...keep.map(({ header }) => header.op));
    for (const [checksum, { ref }] of this.stored) {
      // A newer one is written, and the replica has not been told yet.
      if (ref.header.op > newest) continue;
      if (!keep.some((kept) => kept.header.op === ref.header.op)) this.stored.delete(checksum);
    }
  }

  /** Rot in the newest one. */
  damage(): void {
    const newest = [...this.stored.values()].sort((a, b) => b.ref.header.op - a.ref.header.op)[0];
    if (newest !== undefined) newest.parts[0] = null;
  }

  has(ref: CheckpointRef): boolean {
    return this.stored.has(ref.checksum);
  }
}
