import { type Checksum, requestQueueBytesMax } from '@kimberlite/base';
import type { Command } from '@kimberlite/kernel';

/** What a primary may have admitted and not yet applied is bounded by its queue and its pipeline. */
const bodyBytesMax = 2 * requestQueueBytesMax;

interface Admitted {
  readonly commands: readonly Command[];
  readonly bodyBytes: number;
}

/**
 * Commands of the requests admitted here, so that a primary need not decode and validate them again when they commit.
 * By the checksum of the body, which admission has verified: what is found is what decoding would give. The oldest
 * leave first; what is not found is decoded.
 */
export class AdmittedCommands {
  private readonly byChecksum = new Map<Checksum, Admitted>();
  private bodyBytes = 0;

  keep(checksum: Checksum, commands: readonly Command[], bodyBytes: number): void {
    if (this.byChecksum.has(checksum)) return;
    this.byChecksum.set(checksum, { commands, bodyBytes });
    this.bodyBytes += bodyBytes;
    for (const oldest of this.byChecksum.keys()) {
      if (this.bodyBytes <= bodyBytesMax) return;
      this.take(oldest);
    }
  }

  take(checksum: Checksum): readonly Command[] | undefined {
    const found = this.byChecksum.get(checksum);
    if (found === undefined) return undefined;
    this.byChecksum.delete(checksum);
    this.bodyBytes -= found.bodyBytes;
    return found.commands;
  }
}
