import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeUtf8, replicasMax } from '@kimberlite/base';
import type { Journal } from '@kimberlite/host';
import { z } from 'zod';
import { nodeHasher } from './platform-checksums.ts';

/** What a replica said of itself: which of the machines with that identity it is, and the highest view it was in. */
export interface Acquaintance {
  readonly incarnation: number;
  readonly view: number;
}

const fileName = 'peers.json';
const natural = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const known = z.array(z.strictObject({ incarnation: natural, view: natural }).nullable()).max(replicasMax);
/** A view that rot made higher would shut out a sound replica: so the file has a checksum. */
const stored = z.strictObject({ checksum: z.string(), replicas: known });
const checksumOf = (replicas: readonly (Acquaintance | null)[]): string =>
  nodeHasher(encodeUtf8(JSON.stringify(replicas)));

/**
 * What this node remembers of the others. A view never goes back: a replica that comes with a lower one than it has said
 * before has lost its memory, and must not take part under the same identity (Table H). Kept in a file beside the data, for
 * the time when all nodes were stopped; without it, or with a damaged one, the memory begins anew.
 */
export class Acquaintances {
  private readonly directory: string;
  private readonly journal: Journal;
  private readonly known: (Acquaintance | null)[];
  private writing: Promise<void> | null = null;
  private changed = false;

  constructor(directory: string, journal: Journal) {
    this.directory = directory;
    this.journal = journal;
    this.known = read(join(directory, fileName));
  }

  /** Why a replica that says this of itself is not to be heard; null: it may be. */
  problem(replica: number, { incarnation, view }: Acquaintance): string | null {
    const before = this.known[replica] ?? null;
    if (before === null || incarnation > before.incarnation) return null;
    if (incarnation < before.incarnation) {
      return 'leave it, or empty it and run `kimberlite recover`: another machine has had this identity since';
    }
    if (view >= before.view) return null;
    // It travels in a close frame, which has little room: what to do comes first.
    return `empty it, run \`kimberlite recover\`: its directory is new or an old copy (view ${view}, it was in ${before.view})`;
  }

  heard(replica: number, { incarnation, view }: Acquaintance): void {
    const before = this.known[replica] ?? null;
    if (
      before !== null &&
      (incarnation < before.incarnation || (incarnation === before.incarnation && view <= before.view))
    ) {
      return;
    }
    this.known[replica] = { incarnation, view };
    this.changed = true;
    this.writing ??= this.write();
  }

  /** Resolves when what was heard is on the disk. */
  async close(): Promise<void> {
    await this.writing;
  }

  /** Views change seldom; one write at a time, and another when something came meanwhile. */
  private async write(): Promise<void> {
    while (this.changed) {
      this.changed = false;
      try {
        const replicas = Array.from({ length: replicasMax }, (_, i) => this.known[i] ?? null);
        await this.replace(JSON.stringify({ checksum: checksumOf(replicas), replicas }));
      } catch (error) {
        // It protects against a mistake of people's; the node does its work without it.
        this.journal.write('warn', 'cannot keep what the other replicas said of themselves', { error: String(error) });
      }
    }
    this.writing = null;
  }

  private async replace(text: string): Promise<void> {
    const path = join(this.directory, fileName);
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  }
}

function read(path: string): (Acquaintance | null)[] {
  try {
    const parsed = stored.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return parsed.success && parsed.data.checksum === checksumOf(parsed.data.replicas) ? parsed.data.replicas : [];
  } catch {
    return [];
  }
}
