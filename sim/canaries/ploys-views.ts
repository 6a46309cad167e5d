import type { Stage } from '@kimberlite/sim';
import {
  cast,
  commitOf,
  committedBy,
  isPrimary,
  leads,
  settle,
  type Steps,
  steady,
  viewOf,
  watchPrepare,
} from './ploys.ts';

// Schedules about what a new view inherits. The letters are those of `ploys.ts`.

/**
 * An op that `a` and `b` committed. `b` and `c` leave the view and the next one never gets its log, since `b`, its
 * primary, hears nobody; they leave it too. Then `b` is gone, and `c` makes a view with `a`, which never was in the
 * one without a log: `c` lacks the op and must not outrank `a` for having been there.
 */
export function* viewWithoutLog(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const x = yield* committedBy(stage, a, [b]);
  stage.part(a);
  stage.judge((_from, _to, message) => (message.type === 'do-view-change' ? 'lose' : 'pass'));
  yield () => viewOf(stage, c) >= x.view + 2;
  stage.part(b);
  stage.judge(null);
  yield () => leads(stage, x.view, a, c) !== undefined;
  yield stage.after(300_000);
  yield* settle(stage);
}

/**
 * An op that `a` and `b` committed and whose client has its answer. `b` leads the next view and cannot commit it there
 * for a while, since the acks of `c` are under way; confirmations of reads arrive.
 */
export function* readBeforeInherited(stage: Stage): Steps {
  // Until all have their sessions.
  yield stage.after(500_000);
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const x = yield* committedBy(stage, a, [b]);
  stage.crash(a);
  stage.judge((from, to, message) => (from === c && to === b && message.type === 'prepare-ok' ? 'hold' : 'pass'));
  yield () => isPrimary(stage, b, x.view);
  yield stage.after(800_000);
  stage.release();
  yield* settle(stage);
}

/**
 * An op that `b` has from `a`, and its client has no answer. `b` leads the next view and cannot commit it there for so
 * long that the client asks again.
 */
export function* askedAgain(stage: Stage): Steps {
  yield stage.after(500_000);
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const { judge, seen } = watchPrepare(a);
  stage.judge((from, to, message, frame) => {
    judge(from, to, message, frame);
    const x = seen();
    if (x === null) return 'pass';
    if (to === a && message.type === 'prepare-ok') return message.op >= x.op ? 'lose' : 'pass';
    if (from !== a || message.type !== 'prepare') return 'pass';
    return to === b && message.prepare.header.op === x.op ? 'pass' : 'lose';
  });
  yield () => seen() !== null;
  const x = seen();
  if (x === null) return;
  yield () => stage.state(b)?.slots.get(x.op)?.durable != null;
  stage.crash(a);
  stage.judge((from, to, message) => (from === c && to === b && message.type === 'prepare-ok' ? 'hold' : 'pass'));
  yield () => isPrimary(stage, b, x.view);
  yield stage.after(2_000_000);
  stage.release();
  yield* settle(stage);
}

/**
 * An op that `b` has from `a`, and that `c` gets from `b` in the next view: not as an answer to a request for it, but
 * as a prepare that is sent again.
 */
export function* sentAgainInNextView(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const x = yield* committedBy(stage, a, [b]);
  stage.crash(a);
  stage.judge((from, to, message) =>
    from === b && to === c && message.type === 'repair-prepare' && message.prepare.header.op === x.op ? 'lose' : 'pass',
  );
  yield () => isPrimary(stage, b, x.view) && commitOf(stage, b) >= x.op;
  yield stage.after(300_000);
  yield* settle(stage);
}

/** A backup was away, and one of the two that could bring what it lacks does not: first one, then the other. */
export function* slowPeer(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  for (const slow of [a, b]) {
    const before = commitOf(stage, a);
    stage.crash(c);
    yield () => commitOf(stage, a) > before + 12;
    const reached = commitOf(stage, a);
    stage.judge((from, to, message) =>
      from === slow && to === c && message.type === 'repair-prepare' ? 'lose' : 'pass',
    );
    stage.boot(c);
    const hasAll = (): boolean => (stage.state(c)?.applied ?? 0) >= reached;
    yield stage.within(10, 'one peer is slow, and a backup never gets what it lacks', hasAll);
    stage.judge(null);
  }
  yield* settle(stage);
}
