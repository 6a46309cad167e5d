import { assert, type Hasher } from '@kimberlite/base';
import { initialDurableState } from '@kimberlite/vsr';
import { registrationOp } from './cluster-requests.ts';
import { emptyImage } from './durable-image.ts';
import type { Local, LocalEvent } from './local.ts';
import { ownEvents } from './own-events.ts';
import type { AlwaysProperty } from './property.ts';
import { EventRunner, type Ran, type Sent } from './run-event.ts';
import { firstView, replicaCount, type World } from './world.ts';

const eventsMax = 1000;

/**
 * Where every exploration begins: three empty replicas boot, form view 1, register all clients and hear of it. Run by
 * the shipped code like everything else, along the one schedule in which nothing is late. The messages of that time
 * are lost from there on.
 */
export function formView(world: World, hasher: Hasher): readonly Local[] {
  // Whatever is said too early here, the exploration will find too, and with a schedule.
  const ignore = new Set<AlwaysProperty>(['persistence', 'acked-durable']);
  const runner = new EventRunner({ ...world, heartbeats: 1, viewChanges: 0, crashes: 0, rot: 0 }, hasher, ignore);
  const inFlight: Sent[] = [];
  const locals: Local[] = [];
  const take = (replica: number, { local, sent }: Ran): void => {
    locals[replica] = local;
    inFlight.push(...sent);
  };
  const happen = (replica: number, event: LocalEvent): void => {
    const local = locals[replica];
    assert(local !== undefined, 'the replica has booted');
    take(replica, runner.run(local, event));
  };
  const settle = (): void => {
    for (let count = 0; ; count++) {
      assert(count < eventsMax, 'an undisturbed cluster comes to rest');
      const next = nextEvent(locals, inFlight, runner.world);
      if (next === null) return;
      happen(next.replica, next.event);
    }
  };
  for (let replica = 0; replica < replicaCount; replica++) {
    take(replica, runner.boot(replica, emptyImage(initialDurableState()), 0));
  }
  settle();
  const primary = firstView % replicaCount;
  happen(primary, { type: 'register' });
  settle();
  happen(primary, { type: 'timer', timer: 'heartbeat' });
  settle();
  const adopted = locals.map((local) => new EventRunner(world, hasher, ignore).adopt(local));
  for (const { replica } of adopted) {
    const ready = replica.status === 'normal' && replica.view === firstView && replica.applied === registrationOp;
    assert(ready, () => `replica ${replica.self} has not come to view ${firstView}`);
  }
  return adopted;
}

/** The disk first, then the oldest message; null when neither has anything left to do. */
function nextEvent(
  locals: readonly Local[],
  inFlight: Sent[],
  world: World,
): { readonly replica: number; readonly event: LocalEvent } | null {
  for (const [replica, local] of locals.entries()) {
    const event = ownEvents(local, world).find(({ type }) => type !== 'timer');
    if (event !== undefined) return { replica, event };
  }
  const oldest = inFlight.shift();
  return oldest === undefined ? null : { replica: oldest.to, event: { type: 'deliver', message: oldest.message } };
}
