import { assert, encodeUtf8, type Hasher } from '@kimberlite/base';
import { type LocalTable, opsMax } from './locals.ts';
import type { Violation } from './property.ts';
import { DigestList, PairTable } from './tables.ts';

/** What has been committed so far, in any replica's eyes: by op the number of the prepare and the view in which it was committed. */
interface Ghost {
  readonly prepares: readonly number[];
  readonly views: readonly number[];
}

const nothing: Ghost = { prepares: new Array<number>(opsMax).fill(0), views: new Array<number>(opsMax).fill(0) };

/**
 * The memory of an observer who sees every replica and forgets nothing: a commit counts for ever, also when the replica
 * that knew of it has crashed. It is part of a state of the exploration and of no replica.
 */
export class GhostTable {
  readonly digests = new DigestList();
  private readonly ghosts: Ghost[] = [];
  private readonly byKey = new Map<string, number>();
  private readonly seen = new PairTable();
  private readonly violations = new Map<string, Violation>();
  private readonly locals: LocalTable;
  private readonly ignoresLost: boolean;
  private readonly hasher: Hasher;

  constructor(locals: LocalTable, ignoresLost: boolean, hasher: Hasher) {
    this.locals = locals;
    this.ignoresLost = ignoresLost;
    this.hasher = hasher;
    this.digests.push('0'.repeat(32));
    this.ghosts.push(nothing);
    this.intern(nothing);
  }

  /** Number of the memory of nothing. */
  get none(): number {
    return 1;
  }

  /**
   * The memory after this local state was seen, or what is wrong: it commits something else than was committed, or its
   * log lacks something that was.
   */
  see(ghost: number, local: number): number | Violation {
    const known = this.seen.get(ghost, local);
    if (known !== 0) return known;
    const violation = this.violations.get(`${ghost}:${local}`);
    if (violation !== undefined) return violation;
    const next = this.judge(this.at(ghost), local);
    if ('property' in next) {
      this.violations.set(`${ghost}:${local}`, next);
      return next;
    }
    const number = this.intern(next);
    this.seen.set(ghost, local, number);
    return number;
  }

  private judge(ghost: Ghost, local: number): Ghost | Violation {
    const next = this.merge(ghost, local);
    if ('property' in next || this.ignoresLost) return next;
    return this.check(next, local) ?? next;
  }

  /** Does this log hold everything that was committed in earlier views, and nothing else there? */
  private check({ prepares, views }: Ghost, local: number): Violation | null {
    const { locals } = this;
    const logView = locals.logViews.get(local);
    for (let op = 1; op < opsMax; op++) {
      const committed = prepares[op] as number;
      const view = views[op] as number;
      if (committed === 0 || logView < view) continue;
      const own = locals.prepareAt(local, op);
      const missing = logView > view && locals.heads.get(local) < op;
      if (!missing && (own === 0 || own === committed)) continue;
      const { self } = locals.at(local).replica;
      const what = missing ? `ends at op ${locals.heads.get(local)}` : `has another prepare at op ${op}`;
      const message = `op ${op} was committed in view ${view}, and the log of replica ${self} of view ${logView} ${what}`;
      return { property: 'nothing-lost', message };
    }
    return null;
  }

  private at(number: number): Ghost {
    const ghost = this.ghosts[number];
    assert(ghost !== undefined, 'a memory that is numbered is known');
    return ghost;
  }

  private merge(ghost: Ghost, local: number): Ghost | Violation {
    const { locals } = this;
    const prepares = [...ghost.prepares];
    const views = [...ghost.views];
    for (let op = 1; op <= locals.commits.get(local); op++) {
      const own = locals.prepareAt(local, op);
      if (own === 0 || own === prepares[op]) continue;
      if (prepares[op] !== 0) {
        const { self } = locals.at(local).replica;
        const [first, second] = [prepares[op] as number, own].map((number) => locals.prepares.id(number).slice(0, 8));
        const message = `op ${op} was committed as ${first}, and replica ${self} commits ${second} there`;
        return { property: 'agreement', message };
      }
      prepares[op] = own;
      views[op] = locals.views.get(local);
    }
    return { prepares, views };
  }

  private intern(ghost: Ghost): number {
    const ids = ghost.prepares.map((number) => this.locals.prepares.id(number));
    const key = `${ids.join()}|${ghost.views.join()}`;
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const number = this.ghosts.length;
    this.ghosts.push(ghost);
    this.byKey.set(key, number);
    this.digests.push(this.hasher(encodeUtf8(key)));
    return number;
  }
}
