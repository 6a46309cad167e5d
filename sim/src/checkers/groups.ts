import { assert } from '@kimberlite/base';
import { epochOf, foundingGroup, type Group, type Membership, viewsPerEpoch } from '@kimberlite/vsr';
import type { Checker, SuperblockView, World } from './checker.ts';

/** Replicas as the bits of their ids. */
export const bitsOf = (replicas: readonly number[]): number =>
  replicas.reduce((set, replica) => set | (1 << replica), 0);

/** Whether two superblocks mean the same group, and the same op that made it. */
function isSame(a: Membership, b: Membership): boolean {
  const same = (x: readonly unknown[], y: readonly unknown[]): boolean =>
    x.length === y.length && x.every((value, i) => value === y[i]);
  const [left, right] = [a.group, b.group];
  return (
    a.boundary?.id === b.boundary?.id &&
    left.epoch === right.epoch &&
    same(left.voters, right.voters) &&
    same(left.standbys, right.standbys) &&
    same(left.incarnations, right.incarnations) &&
    same(left.addresses, right.addresses)
  );
}

/**
 * The group of each epoch, as the first superblock tells that is of it: nobody speaks for a view that is not in its
 * superblock, so every epoch is known before the first message of it.
 */
export class Groups {
  readonly checker: Checker;
  private readonly known: Membership[];
  private readonly listeners: ((replica: number, membership: Membership) => void)[] = [];
  private readonly clashes: ((replica: number, superblock: SuperblockView) => void)[] = [];

  constructor(world: World) {
    this.known = [{ group: foundingGroup(world.nodes), boundary: null }];
    this.checker = {
      name: 'epochs',
      superblockWritten: (replica, superblock) => this.onSuperblock(replica, superblock),
      // How a new directory begins.
      superblockSynced: (replica, superblock) => this.onSuperblock(replica, superblock),
    };
  }

  /** Called for each epoch, when the first superblock of it is seen. */
  onNew(listener: (replica: number, membership: Membership) => void): void {
    this.listeners.push(listener);
  }

  /** Called for each superblock that is of another group than the first of its epoch. */
  onClash(listener: (replica: number, superblock: SuperblockView) => void): void {
    this.clashes.push(listener);
  }

  get latest(): Group {
    const last = this.known.at(-1);
    assert(last !== undefined, 'there is the group with which the cluster was founded');
    return last.group;
  }

  get lastTwo(): readonly Group[] {
    return this.known.slice(-2).map(({ group }) => group);
  }

  /** The group of that view's epoch; of one that nobody has entered, the latest. */
  of(view: number): Group {
    return this.known[epochOf(view)]?.group ?? this.latest;
  }

  /** The op that ends the epoch before that of the view. */
  boundaryOf(view: number): Membership['boundary'] {
    return this.known[epochOf(view)]?.boundary ?? null;
  }

  votersOf(view: number): readonly number[] {
    return this.of(view).voters;
  }

  /** A view's primary, by its number: in later epochs the first view that is served has number 1. */
  primaryOf(view: number): number {
    const { epoch, voters } = this.of(view);
    const number = view - epoch * viewsPerEpoch;
    const turn = epoch === 0 ? number : Math.max(0, number - 1);
    return voters[turn % voters.length] ?? 0;
  }

  private onSuperblock(replica: number, superblock: SuperblockView): void {
    const { view, membership } = superblock;
    if (membership === null) {
      if (epochOf(view) !== 0) for (const listener of this.clashes) listener(replica, superblock);
      return;
    }
    const { epoch } = membership.group;
    const known = this.known[epoch];
    if (epochOf(view) !== epoch || (known !== undefined && !isSame(known, membership))) {
      for (const listener of this.clashes) listener(replica, superblock);
    }
    if (known !== undefined) return;
    this.known[epoch] = membership;
    for (const listener of this.listeners) listener(replica, membership);
  }
}
