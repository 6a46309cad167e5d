import type { Stage } from '@kimberlite/sim';
import {
  cast,
  commitOf,
  committedBy,
  headOf,
  isPrimary,
  leads,
  settle,
  type Steps,
  steady,
  viewOf,
  watchPrepare,
} from './ploys.ts';

// Schedules about what is on the disks when somebody goes down. The letters are those of `ploys.ts`.

const everyone = (stage: Stage): readonly number[] => [...stage.cluster.machines.keys()];

/** All lose their power just when a client has got an answer; again and again. */
export function* powerCutAfterAnswer(stage: Stage): Steps {
  for (let round = 0; round < 12; round++) {
    yield steady(stage);
    const { history } = stage.workload;
    const before = history.answered;
    yield () =>
      history.answered > before + 2 &&
      history.calls.some(({ type, end }) => type !== 'get' && end?.returnedUs === stage.cluster.scheduler.nowUs);
    stage.powerCut(...everyone(stage));
    stage.boot(...everyone(stage));
  }
  yield* settle(stage);
}

/** All lose their power while at least two are writing one op. */
export function* powerCutInWrite(stage: Stage): Steps {
  const writing = (): boolean => {
    const ops = stage.cluster.states.flatMap(({ slots }) =>
      [...slots].flatMap(([op, slot]) => (slot.writing === null ? [] : [op])),
    );
    return new Set(ops).size < ops.length;
  };
  for (let round = 0; round < 12; round++) {
    yield steady(stage);
    yield writing;
    yield stage.after(stage.chance(600));
    stage.crash(...everyone(stage));
    stage.boot(...everyone(stage));
  }
  yield* settle(stage);
}

/**
 * The old primary has a tail of its own in slots that the next view fills anew; there it is the one backup the new
 * primary has. Then all go down and the primary stays down: what the slots hold now has to be the new content.
 */
export function* slotTakenTwice(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  stage.part(a);
  yield () => headOf(stage, a) - commitOf(stage, a) >= 3 && leads(stage, view, b, c) !== undefined;
  const tail = headOf(stage, a);
  const q = leads(stage, view, b, c) ?? b;
  const other = q === b ? c : b;
  stage.part(other);
  yield () => viewOf(stage, a) > view && commitOf(stage, q) >= tail;
  // Whoever knows that it is committed would not let go of it.
  stage.judge((from) => (from === q ? 'lose' : 'pass'));
  yield stage.after(3_000);
  stage.powerCut(q, a);
  stage.boot(a);
  stage.judge(null);
  stage.heal();
  yield () => leads(stage, viewOf(stage, a) - 1, a, other) !== undefined && viewOf(stage, a) === viewOf(stage, other);
  yield stage.after(500_000);
  yield* settle(stage);
}

/**
 * A backup with a slow disk is writing an op that the next view does not have: only the primary had it otherwise, and
 * has lost it. So that view has another op there, and the backup is told of it while the first write is under way.
 */
export function* newOpWhileWriting(stage: Stage): Steps {
  for (let round = 0; round < 3; round++) {
    yield steady(stage);
    const { a, c } = cast(stage);
    stage.slowFiles(c, 'segment', 200);
    stage.slowFiles(c, 'headers', 1500);
    stage.slowFiles(a, 'segment', 100);
    yield stage.after(200_000);
    const { judge, seen } = watchPrepare(a);
    stage.judge((from, to, message, frame) => {
      judge(from, to, message, frame);
      const x = seen();
      if (x === null || from !== a) return 'pass';
      return to === c && message.type === 'prepare' && message.prepare.header.op === x.op ? 'pass' : 'lose';
    });
    yield () => seen() !== null;
    const x = seen();
    if (x === null) return;
    yield () => stage.state(c)?.slots.get(x.op)?.writing != null;
    stage.powerCut(a);
    stage.slowFiles(a, 'segment', 1);
    // Restarted at once, it ends its view itself.
    stage.boot(a);
    stage.judge(null);
    yield () => viewOf(stage, c) > x.view && headOf(stage, c) >= x.op;
    yield stage.after(2_000_000);
    for (const prefix of ['segment', 'headers']) stage.slowFiles(c, prefix, 1);
    yield* settle(stage);
  }
}

/** A backup with a slow disk is writing when its view ends. */
export function* writeOutlivesView(stage: Stage): Steps {
  for (let round = 0; round < 4; round++) {
    yield steady(stage);
    const { a, c } = cast(stage);
    stage.slowFiles(c, 'segment', 30);
    stage.slowFiles(c, 'superblock', 300);
    const writing = (replica: number): boolean =>
      [...(stage.state(replica)?.slots ?? [])].some(([, slot]) => slot.writing !== null);
    yield () => writing(c);
    // Restarted at once, it ends its view itself.
    stage.crash(a);
    stage.boot(a);
    yield stage.after(600_000);
    for (const prefix of ['segment', 'superblock']) stage.slowFiles(c, prefix, 1);
    yield* settle(stage);
  }
}

/** A backup gets a prepare twice while its slow disk is at it; nobody else has the op but the primary, and both go down. */
export function* prepareComesTwice(stage: Stage): Steps {
  yield steady(stage);
  const { a, c } = cast(stage);
  stage.slowDisk(c, 100);
  let frame: Uint8Array | null = null;
  const { judge, seen } = watchPrepare(a);
  stage.judge((from, to, message, bytes) => {
    judge(from, to, message, bytes);
    const x = seen();
    if (x === null || from !== a) return 'pass';
    const isIt = message.type === 'prepare' && message.prepare.header.op === x.op;
    if (isIt && to === c) frame = bytes;
    return isIt && to === c ? 'pass' : 'lose';
  });
  yield () => frame !== null;
  yield stage.after(2_000);
  if (frame !== null) stage.send(a, c, frame);
  yield stage.after(5_000);
  stage.powerCut(a, c);
  stage.slowDisk(c, 1);
  stage.boot(c);
  stage.judge(null);
  yield stage.after(1_000_000);
  yield* settle(stage);
}

/**
 * The old primary has a tail of its own, and goes down when it has just taken over the shorter log of the next view.
 * While it is away others fill those slots; when it is back it must not tell of its tail again.
 */
export function* ghostTail(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  stage.part(a);
  yield () => headOf(stage, a) - commitOf(stage, a) >= 3 && leads(stage, view, b, c) !== undefined;
  const tail = headOf(stage, a);
  const q = leads(stage, view, b, c) ?? b;
  const other = q === b ? c : b;
  stage.judge((_from, to, message) => (to === a && message.type === 'prepare' ? 'lose' : 'pass'));
  stage.heal();
  yield () => viewOf(stage, a) > view && stage.state(a)?.status === 'normal';
  stage.crash(a);
  stage.judge((from, to) => (from === a || to === a ? 'lose' : 'pass'));
  yield () => commitOf(stage, q) >= tail - 1;
  stage.boot(a);
  yield () => stage.state(a) !== undefined;
  stage.part(q);
  stage.judge(null);
  yield () => leads(stage, viewOf(stage, q), a, other) !== undefined;
  yield stage.after(300_000);
  yield* settle(stage);
}

/** A start_view arrives late, in its own view, when the backup has acknowledged ops beyond it. */
export function* lateStartView(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  let held = false;
  stage.judge((from, to, message) => {
    if (from !== b || to !== c || message.type !== 'start-view' || held) return 'pass';
    held = true;
    return 'hold';
  });
  stage.crash(a);
  yield () => isPrimary(stage, b, view) && viewOf(stage, c) === viewOf(stage, b) && stage.state(c)?.status === 'normal';
  const x = yield* committedBy(stage, b, [c]);
  stage.judge((from) => (from === b ? 'lose' : 'pass'));
  stage.release();
  yield stage.after(10_000);
  stage.crash(b);
  stage.boot(a);
  stage.judge(null);
  yield () => leads(stage, x.view, a, c) !== undefined;
  yield stage.after(300_000);
  yield* settle(stage);
}

/**
 * An answer to a repair request arrives when the log no longer has that op: a backup once missed a prepare and asked
 * for it, a view change dropped it, and now another one belongs there, which the backup lacks.
 */
export function* lateRepair(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const { judge, seen } = watchPrepare(a);
  stage.judge((from, to, message, frame) => {
    judge(from, to, message, frame);
    const x = seen();
    if (x === null) return 'pass';
    if (from === a && message.type === 'repair-prepare' && message.prepare.header.op === x.op) return 'hold';
    if (from === a && to === b) return 'lose';
    // The op itself is lost; what comes behind it makes the backup ask for the log.
    return from === a && message.type === 'prepare' && message.prepare.header.op === x.op ? 'lose' : 'pass';
  });
  yield () => stage.heldCount > 0;
  const x = seen();
  if (x === null) return;
  stage.part(a);
  stage.judge((from, to, message) => {
    const body = message.type === 'prepare' || message.type === 'repair-prepare';
    // What comes behind it arrives, so the backup learns that there is one.
    return from === b && to === c && body && message.prepare.header.op === x.op ? 'lose' : 'pass';
  });
  yield () => isPrimary(stage, b, x.view) && viewOf(stage, c) === viewOf(stage, b);
  yield () => headOf(stage, b) >= x.op && headOf(stage, c) >= x.op;
  stage.heal();
  stage.release();
  yield stage.after(20_000);
  yield* settle(stage);
}

/** The primary goes down when it has just sent a prepare, and is back before anybody misses it. */
export function* primaryBlinks(stage: Stage): Steps {
  for (let round = 0; round < 6; round++) {
    yield steady(stage);
    const { a } = cast(stage);
    const { judge, seen } = watchPrepare(a);
    stage.judge(judge);
    yield () => seen() !== null;
    stage.crash(a);
    stage.boot(a);
    yield stage.after(100_000);
    yield* settle(stage);
  }
}

/** A sync fails at the one backup that gets an op; it stops for that, or believes the next one. Then both go down. */
export function* syncsFail(stage: Stage): Steps {
  for (let round = 0; round < 6; round++) {
    yield steady(stage);
    const { a, c } = cast(stage);
    const { judge, seen } = watchPrepare(a);
    stage.judge((from, to, message, frame) => {
      judge(from, to, message, frame);
      const x = seen();
      if (x === null || from !== a) return 'pass';
      const isIt = message.type === 'prepare' && message.prepare.header.op === x.op;
      return isIt && to === c ? 'pass' : 'lose';
    });
    yield () => seen() !== null;
    stage.failNextSync(c);
    yield stage.after(10_000);
    stage.crash(a, c);
    yield* settle(stage);
  }
}

/**
 * A backup has acknowledged an op that a view change without it dropped. It is told of the new log, with another op in
 * that place, and loses its power before its superblock says so.
 */
export function* toldOfNewLog(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const { judge, seen } = watchPrepare(a);
  stage.judge((from, to, message, frame) => {
    judge(from, to, message, frame);
    const x = seen();
    if (x === null) return 'pass';
    if (from === a && to === b) return 'lose';
    return from === c && to === a && message.type === 'prepare-ok' && message.op >= x.op ? 'lose' : 'pass';
  });
  yield () => seen() !== null;
  const x = seen();
  if (x === null) return;
  stage.powerCut(a);
  yield () => stage.state(c)?.slots.get(x.op)?.durable != null;
  stage.part(c);
  stage.judge(null);
  stage.boot(a);
  yield () => leads(stage, x.view, a, b) !== undefined;
  const q = leads(stage, x.view, a, b) ?? b;
  yield () => commitOf(stage, q) > x.op + 1;
  stage.slowFiles(c, 'superblock', 200);
  stage.heal();
  yield () => stage.state(c)?.phase === 'installing';
  yield stage.after(15_000);
  stage.powerCut(c);
  stage.slowFiles(c, 'superblock', 1);
  stage.boot(c);
  // Its log view is still the old one, and it has to say so to another replica, not only to itself.
  stage.judge((_from, to, message) => (to === c && message.type === 'do-view-change' ? 'lose' : 'pass'));
  stage.crash(q);
  stage.boot(q);
  yield stage.after(1_500_000);
  yield* settle(stage);
}

/** The process of a backup ends while its superblock is being written: its next boot reads what no disk has yet. */
export function* killedInFlush(stage: Stage): Steps {
  yield steady(stage);
  const { a, b } = cast(stage);
  stage.slowFiles(b, 'superblock', 40);
  stage.crash(a);
  stage.boot(a);
  yield () => stage.state(b)?.flushing !== null;
  yield stage.after(stage.chance(40_000));
  stage.kill(b);
  stage.boot(b);
  yield stage.after(500_000);
  stage.slowFiles(b, 'superblock', 1);
  yield* settle(stage);
}
