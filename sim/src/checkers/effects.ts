import type { ApplyEffects, Checker, Fail, World } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Groups } from './groups.ts';

/** The effects of one op as the state machine gave them, not yet handed on. */
interface Owed {
  readonly op: number;
  /** One list a request. */
  readonly lists: (readonly unknown[])[];
}

/** The lists one behind the other, and nothing else. */
function isWhole({ lists }: Owed, effects: readonly unknown[]): boolean {
  let at = 0;
  for (const list of lists) for (const effect of list) if (effects[at++] !== effect) return false;
  return at === effects.length;
}

/**
 * KERNEL.md's table: what the state machine asks for is handed on once per boot, op by op, complete and in order, on
 * every replica; `primary` only on one that is, and on one that answers its client in the same moment; `replay` for
 * nothing that was not committed before the boot, and for all that its superblock says was (pitfall 40).
 */
export function effects(world: World, groups: Groups, commits: Commits, fail: Fail): Checker {
  const owed: (Owed[] | undefined)[] = [];
  const lastOp: number[] = [];
  const bootedAt: { readonly onDisk: number; readonly committed: number }[] = [];
  /** By replica: the op handed on last as a backup, and when. */
  const asBackup: { readonly op: number; readonly atUs: number }[] = [];

  const checkFlags = (replica: number, { op, primary, replay }: ApplyEffects): void => {
    const { view, logView } = world.superblock(replica);
    const is = view === logView && groups.primaryOf(view) === replica;
    if (primary && !is) fail('effects', `replica ${replica} hands on op ${op} as primary with view ${view} on disk`);
    const { onDisk, committed } = bootedAt[replica] ?? { onDisk: 0, committed: 0 };
    if (replay && op > committed)
      fail('effects', `replica ${replica} calls op ${op} replayed; op ${committed} was the last before its boot`);
    if (!replay && op <= onDisk)
      fail('effects', `replica ${replica} calls op ${op} new; its superblock knew it committed`);
    if (!primary) asBackup[replica] = { op, atUs: world.nowUs() };
  };

  const onHandedOn = (replica: number, handed: ApplyEffects): void => {
    const { op } = handed;
    const first = owed[replica]?.shift();
    if (op <= (lastOp[replica] ?? 0))
      fail('effects', `replica ${replica} hands on op ${op} after op ${lastOp[replica]}`);
    lastOp[replica] = op;
    if (first === undefined || first.op !== op || !isWhole(first, handed.effects)) {
      const count = first?.lists.reduce((sum, { length }) => sum + length, 0);
      const expected = first === undefined ? 'nothing' : `${count} of op ${first.op}`;
      fail('effects', `replica ${replica} hands on ${handed.effects.length} effects of op ${op}, not ${expected}`);
    }
    checkFlags(replica, handed);
  };

  return {
    name: 'effects',
    booted: (replica) => {
      lastOp[replica] = 0;
      owed[replica] = [];
      bootedAt[replica] = { onDisk: world.superblock(replica).commit, committed: commits.highest };
    },
    executed: ({ replica, request: { op }, applied }) => {
      if (applied.effects.length === 0) return;
      const list = (owed[replica] ??= []);
      const last = list.at(-1);
      if (last?.op === op) last.lists.push(applied.effects);
      else list.push({ op, lists: [applied.effects] });
    },
    restored: (replica) => {
      // It makes its state anew: ops that it has handed on come again, and are called replayed.
      if (!world.flips.has(replica)) return;
      lastOp[replica] = 0;
      owed[replica] = [];
      bootedAt[replica] = { onDisk: bootedAt[replica]?.onDisk ?? 0, committed: commits.highest };
    },
    handedOn: onHandedOn,
    told: (replica, _connection, messages) => {
      const backup = asBackup[replica];
      if (backup === undefined || backup.atUs !== world.nowUs()) return;
      for (const message of messages) {
        if (message.type !== 'reply' || message.reply.type !== 'outcome' || message.reply.op !== backup.op) continue;
        fail(
          'effects',
          `replica ${replica} answers op ${backup.op} in the moment in which it handed it on as a backup`,
        );
      }
    },
    ended: ({ replicas }) => {
      for (const { self } of replicas) {
        const left = owed[self]?.[0];
        if (left !== undefined)
          fail('effects', `replica ${self} has executed op ${left.op} and never handed its effects on`);
      }
    },
  };
}
