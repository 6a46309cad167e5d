import { assert, encodeUtf8, type Hasher } from '@kimberlite/base';
import { DigestList } from './tables.ts';
import type { World } from './world.ts';

/** What may still happen in a world: numbers of the budgets afterwards. */
export interface Budget {
  /** This one. */
  readonly same: number;
  /** Null: no crash is left. */
  readonly crash: number | null;
  readonly crashWithRot: number | null;
  readonly requests: readonly {
    readonly event: { readonly type: 'request'; readonly request: number };
    readonly after: number;
  }[];
}

interface Left {
  readonly crashes: number;
  readonly rot: number;
  readonly retries: number;
  /** Requests 1 to this have been sent at least once. */
  readonly sent: number;
}

/** Budgets by number, from 1. */
export class BudgetTable {
  readonly digests = new DigestList();
  readonly whole: number;
  private readonly left: Left[] = [];
  private readonly budgets: (Budget | undefined)[] = [];
  private readonly byKey = new Map<string, number>();
  private readonly world: World;
  private readonly hasher: Hasher;

  constructor(world: World, hasher: Hasher) {
    this.world = world;
    this.hasher = hasher;
    const { crashes, rot, retries } = world;
    this.left.push({ crashes: -1, rot: 0, retries: 0, sent: 0 });
    this.digests.push('0'.repeat(32));
    this.whole = this.intern({ crashes, rot, retries, sent: 0 });
  }

  at(number: number): Budget {
    const known = this.budgets[number];
    if (known !== undefined) return known;
    const left = this.left[number];
    assert(left !== undefined, 'a budget that is numbered is known');
    const { crashes, rot } = left;
    const budget: Budget = {
      same: number,
      crash: crashes > 0 ? this.intern({ ...left, crashes: crashes - 1 }) : null,
      crashWithRot: crashes > 0 && rot > 0 ? this.intern({ ...left, crashes: crashes - 1, rot: rot - 1 }) : null,
      requests: this.requests(left),
    };
    this.budgets[number] = budget;
    return budget;
  }

  /**
   * Requests that a client may send now. They are first sent in order: clients differ in nothing but their number, so
   * any other order is this one with other names.
   */
  private requests(left: Left): Budget['requests'] {
    const { sent, retries } = left;
    const all: Budget['requests'][number][] = [];
    if (retries > 0) {
      const after = this.intern({ ...left, retries: retries - 1 });
      for (let request = 1; request <= sent; request++) all.push({ event: { type: 'request', request }, after });
    }
    if (sent < this.world.requests) {
      all.push({ event: { type: 'request', request: sent + 1 }, after: this.intern({ ...left, sent: sent + 1 }) });
    }
    return all;
  }

  private intern(left: Left): number {
    const key = `${left.crashes}/${left.rot}/${left.retries}/${left.sent}`;
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const number = this.left.length;
    this.left.push(left);
    this.byKey.set(key, number);
    this.digests.push(this.hasher(encodeUtf8(`budget ${key}`)));
    return number;
  }
}
