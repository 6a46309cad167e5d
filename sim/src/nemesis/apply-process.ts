import type { ActionOf, Outage } from './action.ts';
import { type ActionEffect, type FaultWorld, takeDown } from './world.ts';

const effectOf = (done: boolean): ActionEffect => (done ? 'struck' : 'nothing');

export function endProcess(
  world: FaultWorld,
  action: ActionOf<'crash' | 'kill' | 'stop' | 'pause' | 'upgrade'>,
): ActionEffect {
  const { kind, replica, forUs } = action;
  switch (kind) {
    case 'crash':
      return effectOf(takeDown(world, replica, forUs));
    case 'kill':
      return effectOf(takeDown(world, replica, forUs, 'everything'));
    case 'stop':
      return stop(world, replica, forUs);
    case 'pause':
      return pause(world, replica, forUs);
    case 'upgrade':
      return upgrade(world, replica, forUs);
  }
}

/** Once each; a machine that has the newer release already is started again with it. */
function upgrade(world: FaultWorld, replica: number, forUs: number): ActionEffect {
  if (!takeDown(world, replica, forUs, 'everything')) return 'nothing';
  world.cluster.install(replica);
  return 'struck';
}

function pause({ cluster, later }: FaultWorld, replica: number, forUs: number): ActionEffect {
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power !== 'on') return 'nothing';
  machine.pause();
  later(forUs, () => machine.resume());
  return 'struck';
}

/** A hand-over takes 1.5 s at most, and a pause may have come in between. */
const stopWithinUs = 8_000_000;

/** As an operator does it: the process hands over, closes its log and ends. */
function stop(world: FaultWorld, replica: number, forUs: number): ActionEffect {
  const { cluster, later, struck } = world;
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power !== 'on' || machine.host === null) return 'nothing';
  const { host, incarnation } = machine;
  machine.input(() =>
    host.stop(() =>
      later(0, () => {
        if (machine.incarnation !== incarnation || machine.power === 'off') return;
        struck('stop');
        takeDown(world, replica, forUs, 'everything');
      }),
    ),
  );
  later(stopWithinUs, () => {
    if (machine.incarnation !== incarnation || machine.power !== 'on' || host.phase !== 'stopping') return;
    cluster.fail('liveness', `replica ${replica} was asked to stop ${stopWithinUs} us ago and still runs`);
  });
  return 'waiting';
}

type Armed = ActionOf<'crash-mid-turn' | 'crash-in-view-change'>;

export function crashMidTurn(world: FaultWorld, { replica, calls, forUs }: Armed): ActionEffect {
  const { cluster, later, struck } = world;
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power !== 'on') return 'nothing';
  cluster.counts.midTurnCrashes += 1;
  machine.armCrash(calls, () => {
    struck('crash-mid-turn');
    later(forUs, () => cluster.boot(replica));
  });
  return 'waiting';
}

/** The next time that replica is in a view change. */
export function crashInViewChange(world: FaultWorld, { replica, calls, forUs }: Armed): ActionEffect {
  const { cluster, later, struck } = world;
  const machine = cluster.machines[replica];
  if (machine === undefined) return 'nothing';
  const before = cluster.whenTurned;
  const hook: NonNullable<typeof before> = (who, state) => {
    before?.(who, state);
    if (who !== replica || state.status !== 'view-change') return;
    if (cluster.whenTurned === hook) cluster.whenTurned = before;
    machine.armCrash(calls, () => {
      struck('crash-in-view-change');
      later(forUs, () => cluster.boot(replica));
    });
  };
  cluster.whenTurned = hook;
  return 'waiting';
}

export function crashAll(world: FaultWorld, outages: readonly Outage[]): ActionEffect {
  const there = outages.filter(({ replica }) => replica < world.cluster.nodes);
  for (const { replica, afterUs, forUs } of there) world.later(afterUs, () => void takeDown(world, replica, forUs));
  return effectOf(there.length > 0);
}

export function cutPowerWhileWriting(world: FaultWorld, action: ActionOf<'power-cut-while-writing'>): ActionEffect {
  const traps = world.traps(action.replica);
  if (traps === null || action.outages.length === 0) return 'nothing';
  traps.set({
    on: 'write',
    target: action.target,
    spring: () => {
      world.struck(action.kind);
      crashAll(world, action.outages);
    },
  });
  return 'waiting';
}

export function setClock(world: FaultWorld, action: ActionOf<'skew' | 'drift' | 'clock-jump'>): ActionEffect {
  const clock = world.cluster.machines[action.replica]?.clock;
  if (clock === undefined) return 'nothing';
  switch (action.kind) {
    case 'skew':
      clock.setError({ ...clock.wrong, skewUs: action.skewUs });
      break;
    case 'drift':
      clock.setError({ ...clock.wrong, driftPpm: action.driftPpm });
      break;
    case 'clock-jump': {
      const jump = (byUs: number): void => clock.setError({ ...clock.wrong, skewUs: clock.wrong.skewUs + byUs });
      jump(action.byUs);
      world.later(action.forUs, () => jump(-action.byUs));
      break;
    }
  }
  return 'struck';
}
