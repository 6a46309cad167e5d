import type { Stage } from '@kimberlite/sim';
import { cast, commitOf, headOf, type Steps, steady } from './ploys.ts';

// Schedules around a change of the group.

type Host = NonNullable<Stage['cluster']['machines'][number]['host']>;
type MemberChange = Parameters<Host['changeMembers']>[0];
type Changed = Parameters<Parameters<Host['changeMembers']>[2]>[0];
type Membership = Extract<Changed, { readonly ok: true }>['membership'];

/** Asks the primary until it is done; gives the new membership to `then`. */
function* change(stage: Stage, wanted: MemberChange, then: (membership: Membership) => void = () => {}): Steps {
  for (;;) {
    const answers: Changed[] = [];
    const machine = stage.cluster.machines[stage.primary() ?? 0];
    machine?.input(() => machine.host?.changeMembers(wanted, false, (answer) => answers.push(answer)));
    const late = stage.after(1_000_000);
    yield () => answers.length > 0 || late();
    const [answer] = answers;
    if (answer?.ok === true) return then(answer.membership);
    yield stage.after(100_000);
  }
}

const standby = 3;

/** `b` is cut off while a new epoch begins, and then hears everything but that it has begun. */
export function* missesTheEpoch(stage: Stage): Steps {
  yield steady(stage);
  const { a, b } = cast(stage);
  stage.part(b);
  yield* change(stage, { type: 'add', replica: standby, address: 'machine-3:7400' }, (membership) =>
    stage.cluster.formatJoining(standby, membership, () => stage.boot(standby)),
  );
  yield () => stage.isPrimary(a) && stage.state(a)?.group.epoch === 1 && commitOf(stage, standby) > 0;
  stage.judge((_from, to, message) => (to === b && message.type === 'new-epoch' ? 'lose' : 'pass'));
  stage.heal();
  // Whoever misses the primary now asks everybody for the next view.
  stage.crash(a);
  yield stage.after(1_500_000);
  stage.judge(null);
  stage.boot(a);
  yield () => stage.state(b)?.group.epoch === 1;
}

/**
 * Ops that only the primary and a replica that leaves have: the new voter and the other one have none of their bodies.
 * The one that leaves is thrown away as soon as it has stopped, and then the primary is lost. While the new voter could
 * not count, the other one does not leave.
 */
export function* leavesTooSoon(stage: Stage): Steps {
  yield steady(stage);
  const { a, b, c } = cast(stage);
  yield* change(stage, { type: 'add', replica: standby, address: 'machine-3:7400' }, (membership) =>
    stage.cluster.formatJoining(standby, membership, () => stage.boot(standby)),
  );
  yield () => commitOf(stage, standby) > 0 && stage.state(standby)?.status === 'normal';
  yield () => (stage.state(standby)?.applied ?? 0) > 0 && stage.state(standby)?.applied === commitOf(stage, standby);
  // From here on nothing of the log reaches these two, but for what the new epoch prepares.
  let last = Number.POSITIVE_INFINITY;
  stage.judge((_from, to, message) => {
    if (to !== b && to !== standby) return 'pass';
    if (message.type === 'repair-prepare') return 'lose';
    return message.type === 'prepare' && message.prepare.header.op <= last ? 'lose' : 'pass';
  });
  const from = headOf(stage, a);
  yield () => commitOf(stage, a) > from + 6;
  yield* change(stage, { type: 'replace', replica: c, by: standby }, ({ boundary }) => {
    last = boundary?.op ?? last;
  });
  const late = stage.after(1_500_000);
  yield () => stage.cluster.gone.has(c) || late();
  if (stage.cluster.gone.has(c)) stage.wipe(c);
  stage.powerCut(a);
  stage.wipe(a);
  stage.cluster.lost.add(a);
  stage.judge(null);
  yield () => stage.primary() === b || stage.primary() === standby || stage.cluster.gone.has(c);
}
