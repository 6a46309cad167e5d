import { assert, type Checksum, encodeUtf8, type Hasher, type PrepareHeader } from '@kimberlite/base';
import type { CanonicalText } from './canonical-text.ts';
import { type Local, localText } from './local.ts';
import { DigestList, NumberList } from './tables.ts';

/** Above every op of any world: the registration and each transmission of a request. */
export const opsMax = 10;

/** Prepares by number, from 1. */
export class PrepareTable {
  private readonly numbers = new Map<Checksum, number>();
  private readonly ids: Checksum[] = ['0'.repeat(32) as Checksum];
  private readonly headers: (PrepareHeader | null)[] = [null];

  of(id: Checksum, header: PrepareHeader | null): number {
    const known = this.numbers.get(id);
    if (known !== undefined) {
      if (this.headers[known] === null && header !== null) this.headers[known] = header;
      return known;
    }
    const number = this.headers.length;
    this.numbers.set(id, number);
    this.ids.push(id);
    this.headers.push(header);
    return number;
  }

  id(number: number): Checksum {
    const id = this.ids[number];
    assert(id !== undefined, 'a prepare that is numbered is known');
    return id;
  }

  /** Null as long as only the id has been seen. */
  header(number: number): PrepareHeader | null {
    return this.headers[number] ?? null;
  }
}

/** Local states by number, from 1, with what the properties ask of them in plain numbers. */
export class LocalTable {
  readonly digests = new DigestList();
  readonly views = new NumberList();
  readonly logViews = new NumberList();
  readonly heads = new NumberList();
  readonly commits = new NumberList();
  readonly durableViews = new NumberList();
  readonly prepares = new PrepareTable();
  /** `opsMax` numbers of prepares a local state: what its log has at each op, 0 where it is not certain. */
  private readonly logs = new NumberList();
  private readonly locals: (Local | null)[] = [];
  private readonly byDigest = new Map<Checksum, number>();
  private readonly digestTexts: (Checksum | null)[] = [null];
  private readonly hasher: Hasher;
  private readonly write: CanonicalText;

  constructor(hasher: Hasher, write: CanonicalText) {
    this.hasher = hasher;
    this.write = write;
    this.locals.push(null);
    this.digests.push('0'.repeat(32));
    for (const list of [this.views, this.logViews, this.heads, this.commits, this.durableViews]) list.push(0);
    for (let op = 0; op < opsMax; op++) this.logs.push(0);
  }

  get size(): number {
    return this.locals.length;
  }

  at(number: number): Local {
    const local = this.locals[number];
    assert(local !== undefined && local !== null, 'a local state that is numbered is known');
    return local;
  }

  digestOf(number: number): Checksum {
    const digest = this.digestTexts[number];
    assert(digest !== undefined && digest !== null, 'a local state that is numbered is known');
    return digest;
  }

  /** Number of the prepare in the log at `op`; 0 where there is none, or none that is certain. */
  prepareAt(number: number, op: number): number {
    return this.logs.get(number * opsMax + op);
  }

  of(local: Local): number {
    const digest = this.hasher(encodeUtf8(localText(local, this.write)));
    const known = this.byDigest.get(digest);
    if (known !== undefined) return known;
    const number = this.locals.length;
    this.byDigest.set(digest, number);
    this.locals.push(local);
    this.digests.push(digest);
    this.digestTexts.push(digest);
    this.describe(local);
    return number;
  }

  private describe({ replica, image }: Local): void {
    assert(replica.head < opsMax, 'a log in an exploration is short');
    this.views.push(replica.view);
    this.logViews.push(replica.logView);
    this.heads.push(replica.head);
    this.commits.push(replica.commit);
    this.durableViews.push(image.superblock.view);
    for (let op = 0; op < opsMax; op++) {
      const entry = replica.log.get(op);
      // Below a break in the hash chain nothing is trusted, so nothing is claimed.
      const certain = entry !== undefined && op <= replica.head && (op >= replica.linkedLow || op <= replica.applied);
      this.logs.push(certain ? this.prepares.of(entry.id, entry.header) : 0);
    }
  }
}
