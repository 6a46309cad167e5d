import { assert, type Checksum, type PrepareHeader } from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { type Checker, describeHeader, type Fail, type World } from './checker.ts';
import { bitsOf, type Groups } from './groups.ts';
import type { Disks } from './platters.ts';
import type { KnownPrepare, Prepares } from './prepares.ts';

/** A committed op, as the acks and the disks show it. */
export interface Committed {
  readonly id: Checksum;
  /** No later view than this one may have anything else here. Rises with the ops. */
  readonly view: number;
}

/** Acks of one prepare in one view, as the bits of replica ids. */
interface Acks {
  readonly view: number;
  readonly id: Checksum;
  replicas: number;
}

// PROTOCOL.md, replication quorum by number of replicas; not taken from the code that is judged.
const replicationQuorums: readonly number[] = [1, 2, 2, 2, 3, 3];

export function replicationQuorumOf(nodes: number): number {
  const quorum = replicationQuorums[nodes - 1];
  assert(quorum !== undefined, () => `a cluster has 1 to ${replicationQuorums.length} replicas, not ${nodes}`);
  return quorum;
}

export function countBits(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

function commitOf(message: Message): number {
  switch (message.type) {
    case 'prepare':
    case 'heartbeat':
    case 'heartbeat-ok':
    case 'do-view-change':
    case 'start-view':
      return message.commit;
    default:
      return 0;
  }
}

/**
 * What is committed, judged by who acknowledged what and by the disks. An op is committed once a replication quorum of
 * the group of its view's epoch has it synced and has said so in one view, the view's primary by its disk, and everything below it is. From then on
 * - whoever says, writes, executes or answers more than that claims too much (pitfalls 12, 14, 15, 20, 53, 60);
 * - no later view may have another prepare there, or a log that ends before it (pitfalls 1, 8, 9, 49, 51).
 */
export class Commits {
  readonly checker: Checker;
  /** Highest op that is committed with everything below it. */
  highest = 0;
  private readonly world: World;
  private readonly groups: Groups;
  private readonly disks: Disks;
  private readonly prepares: Prepares;
  private readonly fail: Fail;
  private readonly committed: Committed[] = [];
  private readonly acks = new Map<number, Acks[]>();
  /** The log each view began with, as its first start_view told it. */
  private readonly startViews = new Map<number, readonly PrepareHeader[]>();

  constructor(world: World, groups: Groups, disks: Disks, prepares: Prepares, fail: Fail) {
    this.world = world;
    this.groups = groups;
    this.disks = disks;
    this.prepares = prepares;
    this.fail = fail;
    prepares.onNew((known) => this.onPrepare(known));
    this.checker = {
      name: 'commit-quorum',
      sentTypes: ['prepare', 'prepare-ok', 'heartbeat', 'heartbeat-ok', 'do-view-change', 'start-view'],
      sent: (replica, message) => this.onSent(replica, message),
      superblockWritten: (replica, { commit }) =>
        this.claim(commit, () => `replica ${replica} writes a superblock with commit ${commit}`),
      executed: ({ replica, request: { op } }) => {
        if (op > this.highest) this.claim(op, () => `replica ${replica} executes op ${op}`);
      },
    };
  }

  at(op: number): Committed | undefined {
    return this.committed[op];
  }

  /** Somebody acts as if `op` were committed. */
  claim(op: number, by: () => string): void {
    if (op <= this.highest) return;
    this.advance();
    const { highest } = this;
    if (op > highest) this.fail('commit-quorum', `${by()}; no quorum has more than op ${highest} on its disks`);
  }

  private onSent(replica: number, message: Message): void {
    if (message.type === 'prepare-ok') return this.onAck(replica, message.op, message.view, message.id);
    const commit = commitOf(message);
    if (commit > this.highest) {
      this.claim(commit, () => `replica ${replica} sends ${message.type} with commit ${commit}`);
    }
    if (message.type === 'start-view') this.onStartView(message.view, message.suffix);
  }

  private onAck(replica: number, op: number, view: number, id: Checksum): void {
    const known = this.committed[op];
    if (known !== undefined) {
      if (known.id === id || view < known.view) return;
      const was = `op ${op} is ${known.id}, committed in view ${known.view}`;
      return this.fail('agreement', `${was}; in view ${view} ${id} is acked`);
    }
    let there = this.acks.get(op);
    if (there === undefined) {
      there = [];
      this.acks.set(op, there);
    }
    const same = there.find((each) => each.view === view && each.id === id);
    if (same === undefined) there.push({ view, id, replicas: 1 << replica });
    else same.replicas |= 1 << replica;
    if (op === this.highest + 1) this.advance();
  }

  /** Looks at the disks again: the last of a quorum may have synced an op since it was acked. */
  advance(): void {
    for (;;) {
      const op = this.highest + 1;
      const candidates = [...(this.acks.get(op) ?? []), ...this.acksAlone(op)];
      const found = candidates.find((each) => this.reachesQuorum(each, op));
      if (found === undefined) return;
      this.acks.delete(op);
      const now = { id: found.id, view: Math.max(found.view, this.committed[op - 1]?.view ?? 0) };
      this.committed[op] = now;
      this.highest = op;
      this.lookBack(op, now);
    }
  }

  /** The only replica with a vote sends no acks: what its disk has, it has. */
  private acksAlone(op: number): readonly Acks[] {
    const [alone = 0, second] = this.groups.latest.voters;
    // It commits the op that gives another one a vote before that group is known.
    const { view } = this.world.superblock(alone);
    if (second !== undefined && this.groups.votersOf(view).length > 1) return [];
    return this.prepares.at(op).map(({ header }) => ({ view, id: header.id, replicas: 0 }));
  }

  /** A quorum may have had an op whose predecessor was undone, and with it the op: it has to follow what is committed. */
  private reachesQuorum({ view, id, replicas }: Acks, op: number): boolean {
    const below = this.committed[op - 1]?.id;
    if (below !== undefined && this.prepares.get(id)?.header.parent !== below) return false;
    const voters = this.groups.votersOf(view);
    const quorum = replicationQuorumOf(voters.length);
    const count = countBits(replicas & bitsOf(voters) & ~(1 << this.groups.primaryOf(view)));
    return count >= quorum || (count === quorum - 1 && this.primaryHas(view, op, id));
  }

  /** While the view is the latest on its disk: later it may have said that no ack of its own counts any more. */
  private primaryHas(view: number, op: number, id: Checksum): boolean {
    const primary = this.groups.primaryOf(view);
    const { view: durable, logView } = this.world.superblock(primary);
    const bytes = this.prepares.get(id)?.bytes ?? null;
    if (durable !== view || logView !== view || bytes === null) return false;
    const found = this.disks.lookUp(primary, op, bytes);
    return found === 'synced' || found === 'damaged';
  }

  /** What was seen before the quorum was complete. */
  private lookBack(op: number, { id, view }: Committed): void {
    for (const other of this.prepares.at(op)) {
      if (other.header.id !== id && other.header.view >= view) this.clash(op, other);
    }
    for (const next of this.prepares.at(op + 1)) {
      if (next.header.parent !== id && next.header.view >= view) this.clash(op, next);
    }
    for (const [later, suffix] of this.startViews) this.checkStartView(later, suffix, op);
  }

  private onPrepare(known: KnownPrepare): void {
    const { op, view, id, parent } = known.header;
    const here = this.committed[op];
    const below = this.committed[op - 1];
    if (here !== undefined && here.id !== id && view >= here.view) this.clash(op, known);
    if (below !== undefined && below.id !== parent && view >= below.view) this.clash(op - 1, known);
  }

  private clash(op: number, { header }: KnownPrepare): void {
    const { id, view } = this.committed[op] ?? { id: '', view: 0 };
    this.fail('agreement', `op ${op} is ${id}, committed in view ${view}, but there is ${describeHeader(header)}`);
  }

  private onStartView(view: number, suffix: readonly PrepareHeader[]): void {
    if (!this.startViews.has(view)) this.startViews.set(view, suffix);
    const low = Math.max(1, (suffix[0]?.op ?? 1) - 1);
    for (let op = this.highest; op >= low; op--) this.checkStartView(view, suffix, op);
  }

  /** A view begins with everything that was committed in an earlier one. */
  private checkStartView(view: number, suffix: readonly PrepareHeader[], op: number): void {
    const known = this.committed[op];
    const first = suffix[0];
    if (known === undefined || known.view >= view) return;
    const head = suffix.at(-1)?.op ?? 0;
    if (head < op) {
      this.fail('agreement', `view ${view} starts with a log up to op ${head}; op ${op} was committed before`);
    }
    if (first === undefined || op < first.op - 1) return;
    const there = op === first.op - 1 ? first.parent : suffix[op - first.op]?.id;
    if (there === undefined || there === known.id) return;
    const was = `op ${op} is ${known.id}, committed in view ${known.view}`;
    this.fail('agreement', `${was}; view ${view} starts with ${there}`);
  }
}
