import type { Checksum, PrepareHeader } from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { type Checker, describeHeader, type Fail, type World } from './checker.ts';
import { lookUp, prepareOnPlatter } from './platters.ts';
import type { KnownPrepare, Prepares } from './prepares.ts';

/** A committed op, as the acks and the disks show it. */
export interface Committed {
  readonly id: Checksum;
  /** No later view than this one may have anything else here. Rises with the ops. */
  readonly view: number;
}

/** What is committed, judged by who acknowledged what and by the disks. */
export interface Commits {
  readonly checker: Checker;
  /** Highest op that is committed with everything below it. */
  readonly highest: () => number;
  readonly at: (op: number) => Committed | undefined;
  /** Somebody acts as if `op` were committed. */
  readonly claim: (op: number, by: () => string) => void;
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
  if (quorum === undefined) throw new Error(`a cluster has 1 to 6 replicas, not ${nodes}`);
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
 * An op is committed once a replication quorum has it synced and has said so in one view, the view's primary by its
 * disk, and everything below it is. From then on
 * - whoever says, writes, executes or answers more than that claims too much (pitfalls 12, 14, 15, 20, 53, 60);
 * - no later view may have another prepare there, or a log that ends before it (pitfalls 1, 8, 9, 49, 51).
 */
export function watchCommits(world: World, prepares: Prepares, fail: Fail): Commits {
  const quorum = replicationQuorumOf(world.nodes);
  const committed: Committed[] = [];
  const acks = new Map<number, Acks[]>();
  const startViews = new Map<number, readonly PrepareHeader[]>();
  let highest = 0;

  const primaryHas = (view: number, op: number, id: Checksum): boolean => {
    const primary = view % world.nodes;
    const { view: durable, logView } = world.superblock(primary);
    const bytes = prepares.get(id)?.bytes ?? null;
    if (durable !== view || logView !== view || bytes === null) return false;
    const found = lookUp(world.platter(primary), op, bytes);
    return found === 'synced' || found === 'damaged';
  };

  /** A replica alone sends no acks: what its disk has, it has. */
  const acksAlone = (op: number): readonly Acks[] => {
    const found = prepareOnPlatter(world.platter(0), op);
    return found === null ? [] : [{ view: world.superblock(0).view, id: found.id, replicas: 0 }];
  };

  const reachesQuorum = ({ view, id, replicas }: Acks, op: number): boolean => {
    const count = countBits(replicas & ~(1 << (view % world.nodes)));
    return count >= quorum || (count === quorum - 1 && primaryHas(view, op, id));
  };

  const clash = (op: number, other: KnownPrepare): void => {
    const { id, view } = committed[op] ?? { id: '', view: 0 };
    const { header } = other;
    fail('agreement', `op ${op} is ${id}, committed in view ${view}, but there is ${describeHeader(header)}`);
  };

  const checkStartView = (view: number, suffix: readonly PrepareHeader[], op: number): void => {
    const known = committed[op];
    const first = suffix[0];
    if (known === undefined || known.view >= view) return;
    const head = suffix.at(-1)?.op ?? 0;
    if (head < op) fail('agreement', `view ${view} starts with a log up to op ${head}; op ${op} was committed before`);
    if (first === undefined || op < first.op - 1) return;
    const there = op === first.op - 1 ? first.parent : suffix[op - first.op]?.id;
    if (there !== undefined && there !== known.id) {
      fail('agreement', `op ${op} is ${known.id}, committed in view ${known.view}; view ${view} starts with ${there}`);
    }
  };

  /** What was seen before the quorum was complete. */
  const lookBack = (op: number, { id, view }: Committed): void => {
    for (const other of prepares.at(op)) if (other.header.id !== id && other.header.view >= view) clash(op, other);
    const above = prepares.at(op + 1);
    for (const next of above) if (next.header.parent !== id && next.header.view >= view) clash(op, next);
    for (const [later, suffix] of startViews) checkStartView(later, suffix, op);
  };

  const advance = (): void => {
    for (;;) {
      const op = highest + 1;
      const found = (world.nodes === 1 ? acksAlone(op) : acks.get(op))?.find((each) => reachesQuorum(each, op));
      if (found === undefined) return;
      acks.delete(op);
      const now = { id: found.id, view: Math.max(found.view, committed[highest]?.view ?? 0) };
      committed[op] = now;
      highest = op;
      lookBack(op, now);
    }
  };

  const claim = (op: number, by: () => string): void => {
    if (op <= highest) return;
    advance();
    if (op > highest) fail('commit-quorum', `${by()}; no quorum has more than op ${highest} on its disks`);
  };

  const onAck = (replica: number, op: number, view: number, id: Checksum): void => {
    if (op <= highest) {
      const known = committed[op];
      if (known === undefined || known.id === id || view < known.view) return;
      return fail(
        'agreement',
        `op ${op} is ${known.id}, committed in view ${known.view}; in view ${view} ${id} is acked`,
      );
    }
    let there = acks.get(op);
    if (there === undefined) {
      there = [];
      acks.set(op, there);
    }
    const same = there.find((each) => each.view === view && each.id === id);
    if (same === undefined) there.push({ view, id, replicas: 1 << replica });
    else same.replicas |= 1 << replica;
    if (op === highest + 1) advance();
  };

  const onStartView = (view: number, suffix: readonly PrepareHeader[]): void => {
    if (!startViews.has(view)) startViews.set(view, suffix);
    for (let op = highest; op >= Math.max(1, (suffix[0]?.op ?? 1) - 1); op--) checkStartView(view, suffix, op);
  };

  prepares.onNew((known) => {
    const { op, view, id, parent } = known.header;
    const here = committed[op];
    const below = committed[op - 1];
    if (here !== undefined && here.id !== id && view >= here.view) clash(op, known);
    if (below !== undefined && below.id !== parent && view >= below.view) clash(op - 1, known);
  });

  return {
    checker: {
      name: 'commit-quorum',
      sent: (replica, message) => {
        if (message.type === 'prepare-ok') return onAck(replica, message.op, message.view, message.id);
        const commit = commitOf(message);
        if (commit > highest) claim(commit, () => `replica ${replica} sends ${message.type} with commit ${commit}`);
        if (message.type === 'start-view') onStartView(message.view, message.suffix);
      },
      superblockWritten: (replica, { commit }) =>
        claim(commit, () => `replica ${replica} writes a superblock with commit ${commit}`),
      executed: ({ replica, request: { op } }) => claim(op, () => `replica ${replica} executes op ${op}`),
    },
    highest: () => highest,
    at: (op) => committed[op],
    claim,
  };
}
