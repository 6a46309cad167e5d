import type { Judge, Ploy, Stage } from '@kimberlite/sim';

// Schedules that lead to where a bug hurts. `a` is the primary they begin with, `b` and `c` follow it in the order of
// views: of three replicas, `b` leads the next view and `c` the one after that.

export type Steps = ReturnType<Ploy>;

interface Prepared {
  readonly op: number;
  readonly view: number;
}

/** Everybody is in one view, and everything is committed everywhere but for what is on its way. */
export const steady =
  (stage: Stage, without = 0) =>
  (): boolean => {
    const { states, nodes } = stage.cluster;
    const [first] = states;
    return (
      first !== undefined &&
      states.length === nodes - without &&
      states.every(({ status, view, head }) => status === 'normal' && view === first.view && head - first.commit < 3)
    );
  };

export const isPrimary = (stage: Stage, replica: number, above: number): boolean => {
  const state = stage.state(replica);
  return state !== undefined && state.view > above && stage.isPrimary(replica);
};

/** The normal primary of a view above that one, among these. */
export const leads = (stage: Stage, above: number, ...among: readonly number[]): number | undefined =>
  among.find((replica) => isPrimary(stage, replica, above));

export const viewOf = (stage: Stage, replica: number): number => stage.state(replica)?.view ?? 0;
export const commitOf = (stage: Stage, replica: number): number => stage.state(replica)?.commit ?? 0;
export const headOf = (stage: Stage, replica: number): number => stage.state(replica)?.head ?? 0;

export function cast(stage: Stage): { readonly a: number; readonly b: number; readonly c: number } {
  const a = stage.primary() ?? 0;
  const [b = 1, c = 2] = stage.othersBehind(a);
  return { a, b, c };
}

/** Gives the cluster some time to be itself again. */
export function* settle(stage: Stage, without = 0): Steps {
  stage.judge(null);
  stage.heal();
  stage.boot(...stage.cluster.machines.keys());
  yield stage.within(10, 'everybody is well, and no view is found', steady(stage, without));
}

/**
 * The primary is cut off with a tail that only it has; the others commit something else in a new view. Then the new
 * primary is cut off and the old one is back, so that the next view is made from an old long log and a new short one.
 */
export function* oldTailReturns(stage: Stage): Steps {
  for (let round = 0; round < 3; round++) {
    yield steady(stage);
    const { a, b, c } = cast(stage);
    const view = viewOf(stage, a);
    stage.part(a);
    yield () => headOf(stage, a) - commitOf(stage, a) >= 2 && leads(stage, view, b, c) !== undefined;
    const q = leads(stage, view, b, c) ?? b;
    const other = q === b ? c : b;
    yield () => commitOf(stage, q) > commitOf(stage, a);
    stage.part(q);
    const next = Math.max(viewOf(stage, q), viewOf(stage, other));
    yield () => leads(stage, next, a, other) !== undefined;
    yield stage.after(50_000);
    yield* settle(stage);
  }
}

/**
 * A primary that was made by a view change is cut off while the others go through two more views; it is back when the
 * next view is its own again.
 */
export function* backInTurn(stage: Stage): Steps {
  yield steady(stage);
  const first = cast(stage);
  stage.crash(first.a);
  yield () => leads(stage, viewOf(stage, first.b) - 1, first.b) !== undefined && viewOf(stage, first.b) > 0;
  stage.boot(first.a);
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  stage.part(a);
  yield () => isPrimary(stage, b, view) && commitOf(stage, b) > commitOf(stage, a) + 2;
  stage.crash(b);
  stage.boot(b);
  yield () => isPrimary(stage, c, view) && commitOf(stage, c) > commitOf(stage, a) + 4;
  stage.part(c);
  yield () => leads(stage, viewOf(stage, c), a, b) !== undefined;
  yield stage.after(300_000);
  yield* settle(stage);
}

/** The next prepare that `a` makes, once it has been sent. */
export function watchPrepare(a: number): { readonly judge: Judge; readonly seen: () => Prepared | null } {
  let seen: Prepared | null = null;
  const judge: Judge = (from, _to, message) => {
    if (from === a && message.type === 'prepare' && seen === null) {
      const { op, view } = message.prepare.header;
      if (view === message.view) seen = { op, view };
    }
    return 'pass';
  };
  return { judge, seen: () => seen };
}

/**
 * An op that only `b` has; `c` opens a view without it and nobody hears of that; then `a` and `b` make a view in which
 * the op lives on. `b` acknowledged it in the first view, and that ack arrives in the last one.
 *
 * unheard: `b` never hears of the last view. So if `a` commits the op there, on the old ack or on none, `c` and `b`
 * go on without it. heard: `b` is in the last view, the op is committed, and `c` comes back with another op in its
 * place that was made in a higher view.
 */
export const loneLogView = (how: 'unheard' | 'heard'): Ploy =>
  function* (stage: Stage): Steps {
    yield steady(stage);
    const { a, b, c } = cast(stage);
    const { judge, seen } = watchPrepare(a);
    stage.judge((from, to, message, frame) => {
      judge(from, to, message, frame);
      const x = seen();
      if (x === null) return 'pass';
      if (from === a && to === c && message.type === 'prepare') return 'lose';
      if (from === b && to === a && message.type === 'prepare-ok' && message.op >= x.op) return 'hold';
      return 'pass';
    });
    yield () => seen() !== null;
    const x = seen();
    if (x === null) return;
    stage.crash(a);
    yield () => stage.heldCount > 0;
    stage.part(b);
    stage.boot(a);
    stage.judge((from, to, message) => {
      const news = message.type === 'start-view' || message.type === 'heartbeat' || message.type === 'prepare';
      return from === c && to === a && news ? 'lose' : 'pass';
    });
    yield () => isPrimary(stage, c, x.view);
    const lone = viewOf(stage, c);
    if (how === 'heard') yield () => headOf(stage, c) >= x.op;
    stage.part(c);
    stage.judge((from, to, message) => {
      const news = message.type === 'start-view' || message.type === 'heartbeat' || message.type === 'prepare';
      return how === 'unheard' && from === a && to === b && news ? 'lose' : 'pass';
    });
    yield () => leads(stage, lone, a, b) !== undefined;
    stage.note(`view ${viewOf(stage, a)} of ${a} and ${b} has op ${x.op}`);
    stage.release();
    if (how === 'unheard') yield stage.after(600_000);
    // At once, or so much follows that nobody speaks of this op any more.
    else yield () => Math.max(commitOf(stage, a), commitOf(stage, b)) >= x.op;
    const next = Math.max(viewOf(stage, a), viewOf(stage, b));
    if (how === 'unheard') stage.crash(a);
    stage.judge(null);
    stage.part(a);
    yield () => leads(stage, next, b, c) !== undefined;
    yield stage.after(300_000);
    yield* settle(stage);
  };

/** An op that `a` commits with the acknowledgements of these alone; the others hear nothing of it, and these nothing more. */
export function* committedBy(
  stage: Stage,
  a: number,
  holders: readonly number[],
): Generator<() => boolean, Prepared, void> {
  const { judge, seen } = watchPrepare(a);
  stage.judge((from, to, message, frame) => {
    judge(from, to, message, frame);
    const x = seen();
    if (x === null || from !== a) return 'pass';
    // Nothing behind it: the commit number stays with `a`.
    const isIt = message.type === 'prepare' && message.prepare.header.op === x.op;
    return isIt && holders.includes(to) ? 'pass' : 'lose';
  });
  yield () => seen() !== null && commitOf(stage, a) >= (seen()?.op ?? 0);
  // Time for the answer to reach its client.
  yield stage.after(5_000);
  const x = seen();
  if (x === null) throw new Error('the op that was waited for is there');
  return x;
}

/**
 * What the new primary has in memory only. Of five replicas `a`, `c` and `d` committed an op. `b` leads the next view,
 * with the op from `d`, and goes down before it is on its disk; so do `a` and `d`. Only `c` can tell that the op must
 * not be dropped.
 *
 * rot: it cannot read it any more, and has the log of the new view. young: it has heard of the new view and has not
 * got its log.
 */
export const inMemoryOnly = (how: 'rot' | 'young'): Ploy =>
  function* (stage: Stage): Steps {
    yield steady(stage);
    const a = stage.primary() ?? 0;
    const [b = 1, c = 2, d = 3, e = 4] = stage.othersBehind(a);
    const x = yield* committedBy(stage, a, [c, d]);
    if (how === 'rot') {
      if (!stage.rot(c, x.op)) return;
      stage.crash(c);
      stage.boot(c);
    }
    let fetching = false;
    stage.judge((from, to, message) => {
      if (from === a || to === a) return 'lose';
      const body = message.type === 'repair-prepare' || message.type === 'prepare';
      if (body && (to === c || to === e)) return 'lose';
      if (how === 'young' && to === c && (message.type === 'start-view' || message.type === 'start-view-change'))
        return 'lose';
      if (how === 'young' && from === c && message.type === 'start-view-change') return 'lose';
      if (from === b && message.type === 'request-prepare') fetching = true;
      return 'pass';
    });
    yield () => fetching || isPrimary(stage, b, x.view);
    stage.slowDisk(b, 60);
    yield () => isPrimary(stage, b, x.view);
    const view = viewOf(stage, b);
    yield () =>
      how === 'rot'
        ? stage.state(c)?.status === 'normal' && viewOf(stage, c) === view
        : stage.state(c)?.askingView === view;
    stage.crash(a, b, d);
    stage.slowDisk(b, 1);
    stage.boot(b);
    stage.judge(null);
    yield stage.after(2_000_000);
    yield* settle(stage);
  };

/**
 * A committed op that only `a` and `c` have; `a` is down, and something happens to the copy of `c`. It may not be
 * taken for an op that was never there.
 */
export const lastCopy = (happens: (stage: Stage, c: number, op: number) => boolean, without = 0): Ploy =>
  function* (stage: Stage): Steps {
    yield steady(stage);
    const { a, c } = cast(stage);
    const x = yield* committedBy(stage, a, [c]);
    stage.crash(a, c);
    if (!happens(stage, c, x.op)) return;
    stage.judge(null);
    stage.boot(c);
    yield stage.after(2_000_000);
    yield* settle(stage, without);
  };

export const rots = (stage: Stage, c: number, op: number): boolean => stage.rot(c, op);

/** Its header record is that of another op, and it rots. */
export const misplaced = (stage: Stage, c: number, op: number): boolean =>
  stage.rot(c, op) && stage.misplaceHeader(c, op - 1, op);

/** The machine has a new disk. */
export const wiped = (stage: Stage, c: number): boolean => {
  stage.wipe(c);
  return true;
};

/**
 * Two ops of which a backup has the second and not the first. split: the other backup has the first, so both are
 * committed; then all three go down, and the primary stays down. above: nobody but the primary has the first.
 */
export const hole = (how: 'split' | 'above'): Ploy =>
  function* (stage: Stage): Steps {
    yield steady(stage);
    const { a, b, c } = cast(stage);
    const { judge, seen } = watchPrepare(a);
    stage.judge((from, to, message, frame) => {
      judge(from, to, message, frame);
      const x = seen();
      if (x === null) return 'pass';
      if (message.type === 'repair-prepare' && message.prepare.header.op >= x.op) return 'lose';
      if (from !== a || message.type !== 'prepare') return 'pass';
      const { op } = message.prepare.header;
      if (op === x.op) return how === 'split' && to === b ? 'pass' : 'lose';
      return op === x.op + 1 && to === c ? 'pass' : 'lose';
    });
    yield () => seen() !== null;
    const x = seen();
    if (x === null) return;
    yield () => stage.state(c)?.slots.get(x.op + 1)?.durable != null;
    // Whoever knows that it is committed would not let go of it.
    stage.judge((from) => (from === a ? 'lose' : 'pass'));
    if (how === 'split') yield () => commitOf(stage, a) > x.op;
    yield stage.after(5_000);
    stage.crash(a);
    if (how === 'split') {
      stage.crash(b, c);
      stage.boot(b, c);
    }
    stage.judge(null);
    yield () => leads(stage, x.view, b, c) !== undefined;
    yield stage.after(500_000);
    yield* settle(stage);
  };

/** The primary can send and not receive, for as long as it takes: the others must go on without it. */
export function* deafPrimary(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  stage.cluster.network.cut(b, a, true);
  stage.cluster.network.cut(c, a, true);
  const before = stage.workload.history.answered;
  const answered = (): boolean => stage.workload.history.answered > before + 50;
  yield stage.within(10, 'the primary hears nobody, and nothing is answered', answered);
  yield* settle(stage);
}

/** A backup can send and not receive: the others must go on as if nothing was. */
export function* deafBackup(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  stage.cluster.network.cut(a, c, true);
  stage.cluster.network.cut(b, c, true);
  const view = viewOf(stage, a);
  yield stage.after(2_000_000);
  yield stage.within(0.1, 'a backup that hears nobody unseated the primary', () => isPrimary(stage, a, view - 1));
  yield* settle(stage);
}

/** The primary is gone and the network says its last heartbeat again and again. */
export function* echoes(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  let last: Uint8Array | null = null;
  stage.judge((from, _to, message, frame) => {
    if (from === a && message.type === 'heartbeat') last = frame;
    return 'pass';
  });
  yield () => last !== null;
  yield stage.after(200_000);
  stage.crash(a);
  const before = stage.workload.history.answered;
  const answered = (): boolean => stage.workload.history.answered > before + 50;
  const enough = stage.within(10, 'the primary is dead, and nothing is answered', answered);
  while (!enough() && stage.cluster.failure === null) {
    if (last !== null) for (const backup of [b, c]) stage.send(a, backup, last);
    yield stage.after(30_000);
  }
  yield* settle(stage);
}

/**
 * A query arrives at a primary that is cut off and does not know that others have gone on without it; two views later
 * that replica leads again. Whoever asked is connected to nobody else.
 */
export function* readReturns(stage: Stage): Steps {
  const reader = 2;
  yield steady(stage);
  const first = cast(stage);
  const [a, b, c] = [first.b, first.c, first.a];
  const { links } = stage.cluster;
  for (const node of [a, b, c]) links.cut(reader, node, true);
  for (const client of [0, 1, 3, 4]) links.cut(client, a, true);
  yield stage.after(1_000_000);
  // A young view: what waits there waits for one of its first rounds, which the next view of this primary soon has.
  stage.crash(c);
  stage.boot(c);
  yield () => leads(stage, 0, a) !== undefined;
  const view = viewOf(stage, a);
  stage.part(a);
  yield () => isPrimary(stage, b, view) && commitOf(stage, b) > commitOf(stage, a) + 2;
  const { nowUs } = stage.cluster.scheduler;
  const { calls } = stage.workload.history;
  // It has to be asked after that, or an old answer is a true one.
  yield () => calls.some(({ client, end, invokedUs }) => client === reader && end === null && invokedUs > nowUs);
  links.cut(reader, a, false);
  yield () => (stage.state(a)?.queries.size ?? 0) > 0;
  stage.crash(b);
  stage.boot(b);
  yield () => isPrimary(stage, c, view) && commitOf(stage, c) > commitOf(stage, a) + 6;
  stage.part(c);
  yield () => leads(stage, viewOf(stage, c), a, b) !== undefined;
  yield stage.after(1_000_000);
  links.heal();
  yield* settle(stage);
}

/** The primary is cut off with a tail of its own while others commit something else there; then it hears of them. */
export function* oldTailHeals(stage: Stage): Steps {
  for (let round = 0; round < 3; round++) {
    yield steady(stage);
    const { a, b, c } = cast(stage);
    const view = viewOf(stage, a);
    stage.part(a);
    yield () => headOf(stage, a) - commitOf(stage, a) >= 2 && leads(stage, view, b, c) !== undefined;
    const q = leads(stage, view, b, c) ?? b;
    yield () => commitOf(stage, q) > commitOf(stage, a);
    stage.heal();
    yield stage.after(200_000);
    yield* settle(stage);
  }
}

/**
 * A query arrives at a primary that is cut off and does not know that others have gone on without it. The answers to
 * a confirmation round of before that are on their way for as long as it takes. Whoever asked is connected to nobody else.
 */
export function* readAtOldPrimary(stage: Stage): Steps {
  const reader = 2;
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  const { links } = stage.cluster;
  for (const node of [b, c]) links.cut(reader, node, true);
  yield stage.after(500_000);
  let round = 0;
  stage.judge((_from, to, message) => {
    const echoes = to === a && (message.type === 'heartbeat-ok' || message.type === 'prepare-ok');
    return echoes && message.round > 0 && message.round >= round ? 'hold' : 'pass';
  });
  round = (stage.state(a)?.startedRound ?? 0) + 1;
  yield () => stage.heldCount > 0;
  stage.judge((from, to) => (from === a || to === a ? 'lose' : 'pass'));
  for (const client of [0, 1, 3, 4]) links.cut(client, a, true);
  yield () => leads(stage, view, b, c) !== undefined;
  const q = leads(stage, view, b, c) ?? b;
  yield () => commitOf(stage, q) > commitOf(stage, a) + 2;
  const { nowUs } = stage.cluster.scheduler;
  const { calls } = stage.workload.history;
  // It has to be asked after that, or an old answer is a true one.
  yield () => calls.some(({ client, end, invokedUs }) => client === reader && end === null && invokedUs > nowUs);
  yield stage.after(5_000);
  stage.release();
  yield stage.after(100_000);
  links.heal();
  yield* settle(stage);
}
