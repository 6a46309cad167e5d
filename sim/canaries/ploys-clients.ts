import type { Stage } from '@kimberlite/sim';
import { decodeBatch } from '@kimberlite/vsr';
import { cast, commitOf, isPrimary, leads, settle, type Steps, steady, viewOf } from './ploys.ts';

// Schedules about sessions and clients. The letters are those of `ploys.ts`.

const prepareHeaderBytes = 128;

/**
 * A client has just registered, the primary dies, and the next one has the registration and cannot commit it for a
 * while. The client comes with its first request.
 */
export function* youngSession(stage: Stage): Steps {
  // Until all that were there have their sessions.
  yield stage.after(500_000);
  yield steady(stage);
  const { a, b, c } = cast(stage);
  let registration = 0;
  stage.judge((from, _to, message) => {
    if (from !== a) return 'pass';
    if (message.type !== 'prepare') return registration > 0 ? 'lose' : 'pass';
    const { header, bytes } = message.prepare;
    const batch = decodeBatch(bytes.subarray(prepareHeaderBytes));
    const registers = batch.ok && batch.value.some(({ session }) => session === 0);
    if (registers && registration === 0) registration = header.op;
    // Nothing behind it: the commit number stays with the primary.
    return registration === 0 || header.op <= registration ? 'pass' : 'lose';
  });
  stage.workload.crashClient(0, 20_000);
  yield () => registration > 0 && commitOf(stage, a) >= registration;
  yield stage.after(3_000);
  stage.crash(a);
  stage.judge((from, to, message) => (from === c && to === b && message.type === 'prepare-ok' ? 'hold' : 'pass'));
  yield () => isPrimary(stage, b, 0) && stage.heldCount > 0;
  yield stage.after(500_000);
  stage.release();
  yield* settle(stage);
}

/** A client cannot be reached for so long that its session gives way to those of others. */
export function* crowdedOut(stage: Stage): Steps {
  yield steady(stage);
  const { nodes, links } = stage.cluster;
  const lost = 0;
  for (let node = 0; node < nodes; node++) links.cut(lost, node, true);
  for (let round = 0; round < 3; round++) {
    for (const client of [1, 2, 3, 4]) stage.workload.crashClient(client, 50_000);
    yield stage.after(400_000);
  }
  links.heal();
  yield stage.after(200_000);
  yield* settle(stage);
}

/**
 * A client that is connected to nobody but the primary: its request is prepared there and goes no further, since the
 * primary is cut off. Two views later, in which others took its place in the log, that replica leads again.
 */
export function* writeReturns(stage: Stage): Steps {
  const writer = 0;
  yield steady(stage);
  const first = cast(stage);
  const [a, b, c] = [first.b, first.c, first.a];
  const { links } = stage.cluster;
  for (const node of [b, c]) links.cut(writer, node, true);
  for (const client of [1, 2, 3, 4]) links.cut(client, a, true);
  yield stage.after(500_000);
  stage.crash(c);
  stage.boot(c);
  yield () => leads(stage, 0, a) !== undefined;
  const view = viewOf(stage, a);
  const { nowUs } = stage.cluster.scheduler;
  const { calls } = stage.workload.history;
  yield () =>
    calls.some(({ client, type, end }) => client === writer && type !== 'get' && (end?.returnedUs ?? 0) > nowUs);
  stage.part(a);
  yield () => (stage.state(a)?.head ?? 0) > commitOf(stage, a);
  yield () => isPrimary(stage, b, view) && commitOf(stage, b) > commitOf(stage, a) + 2;
  stage.crash(b);
  stage.boot(b);
  yield () => isPrimary(stage, c, view) && commitOf(stage, c) > commitOf(stage, a) + 6;
  stage.part(c);
  yield () => leads(stage, viewOf(stage, c), a, b) !== undefined;
  yield stage.after(500_000);
  links.heal();
  yield* settle(stage);
}

/** One of the two that are left has gone on to the next view, the other one has not heard of it, and the primary is dead. */
export function* viewsApart(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  stage.judge((from, to, message) =>
    from === b && to === c && message.type === 'start-view-change' ? 'lose' : 'pass',
  );
  stage.crash(a);
  yield () => viewOf(stage, b) > view;
  stage.judge(null);
  const before = stage.workload.history.answered;
  const answered = (): boolean => stage.workload.history.answered > before + 20;
  yield stage.within(10, 'one replica is a view ahead of the other, and nothing is answered', answered);
  yield* settle(stage);
}

/** A backup hears the votes of the other one and is not heard by it: it may go on by one view, and by no more. */
export function* votesOfBefore(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  stage.judge((from, to) => (from === c && to === b ? 'lose' : 'pass'));
  stage.crash(a);
  yield stage.after(3_000_000);
  yield* settle(stage);
}

/** Each of two backups misses the primary for a moment, one long after the other. */
export function* twoHiccups(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  const view = viewOf(stage, a);
  for (const [backup, pauseUs] of [
    [c, 2_000_000],
    [b, 600_000],
  ] as const) {
    let votes = 0;
    stage.judge((from, to, message) => {
      if (from === backup && message.type === 'start-view-change') votes += 1;
      return from === a && to === backup && votes === 0 ? 'lose' : 'pass';
    });
    yield () => votes > 0;
    stage.judge(null);
    yield stage.after(pauseUs);
  }
  yield stage.within(0.1, 'two votes of long after each other unseated the primary', () =>
    isPrimary(stage, a, view - 1),
  );
  yield* settle(stage);
}
