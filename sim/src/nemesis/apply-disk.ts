import { noFaults } from '../disk.ts';
import type { ActionOf } from './action.ts';
import { headerRecordBytes } from './atlas.ts';
import { type ActionEffect, type FaultWorld, takeDown } from './world.ts';

/** From the call that a trap waits for until the power goes: within the shortest latency of a disk. */
const trapDelayUs = 1;
/** Until a process that ended while its disk was unreadable is tried again. */
const rebootUs = 150_000;
/** Until a process that has met a failure of its disk must be gone. */
const stopWithinUs = 1_000_000;

export function loseUnsynced(
  world: FaultWorld,
  action: ActionOf<'torn-write' | 'lost-writes' | 'lost-names'>,
): ActionEffect {
  const { kind, replica, forUs } = action;
  const traps = world.traps(replica);
  if (traps === null) return 'nothing';
  const keeps = kind === 'torn-write' ? 'some' : 'nothing';
  const spring = (): void =>
    world.later(trapDelayUs, () => {
      if (takeDown(world, replica, forUs, keeps)) world.struck(kind);
    });
  if (action.kind === 'lost-names') traps.set({ on: 'names', spring });
  else traps.set({ on: action.kind === 'torn-write' ? 'write' : 'sync', target: action.target, spring });
  return 'waiting';
}

/** Until it is called off, the process may end for what its disk does; each time it is started again. */
function excuseStops({ cluster, excuses, later }: FaultWorld, replica: number, forUs: number): () => void {
  const excuse = (error: Error): boolean => {
    // The simulated disk says so of each of its failures; anything else is no fault of the disk's.
    if (!error.message.includes('(simulated)')) return false;
    later(forUs, () => cluster.boot(replica));
    return true;
  };
  const all = excuses(replica);
  all.add(excuse);
  return () => all.delete(excuse);
}

/** A failed sync, or write, is final: a process that goes on after it is wrong (pitfall 27). */
export function failCall(
  world: FaultWorld,
  { kind, replica, forUs }: ActionOf<'failed-sync' | 'failed-write'>,
): ActionEffect {
  const machine = world.cluster.machines[replica];
  const traps = world.traps(replica);
  if (machine === undefined || traps === null) return 'nothing';
  const { faults } = machine.platter;
  const chance = kind === 'failed-sync' ? 'syncErrorChance' : 'writeErrorChance';
  faults[chance] = 1;
  const callOff = excuseStops(world, replica, forUs);
  const spring = (): void => {
    faults[chance] = 0;
    world.struck(kind);
    const { incarnation } = machine;
    world.later(stopWithinUs, () => {
      callOff();
      if (machine.incarnation !== incarnation || machine.power !== 'on') return;
      world.cluster.fail('fatal', `replica ${replica} goes on after a ${kind}`);
    });
  };
  traps.set({ on: 'failure', call: kind === 'failed-sync' ? 'sync' : 'write', spring });
  return 'waiting';
}

/** Nobody stops for it. On every other machine it is a quota, of which the file system does not tell. */
export function fillDisk(world: FaultWorld, { kind, replica, forUs }: ActionOf<'full-disk'>): ActionEffect {
  const platter = world.cluster.machines[replica]?.platter;
  const traps = world.traps(replica);
  if (platter === undefined || traps === null) return 'nothing';
  platter.faults.capacityBytes = platter.usedBytes();
  platter.faults.capacityUntold = replica % 2 === 0;
  // A file that is begun empty has room; what is appended to it then has not.
  const callsOff = (['create', 'append'] as const).map((call) =>
    traps.set({ on: 'failure', call, spring: () => strike() }),
  );
  const strike = (): void => {
    for (const call of callsOff) call();
    world.struck(kind);
  };
  world.later(forUs, () => {
    platter.faults.capacityBytes = noFaults.capacityBytes;
  });
  return 'waiting';
}

export function slowDisk(
  { cluster, later }: FaultWorld,
  { replica, factor, forUs }: ActionOf<'slow-disk'>,
): ActionEffect {
  const faults = cluster.machines[replica]?.platter.faults;
  if (faults === undefined) return 'nothing';
  const set = (by: number): void => {
    const slower = ([low, high]: readonly [number, number]): [number, number] => [low * by, high * by];
    faults.latencyUs = slower(noFaults.latencyUs);
    faults.syncLatencyUs = slower(noFaults.syncLatencyUs);
  };
  set(factor);
  later(forUs, () => set(1));
  return 'struck';
}

type Damaging = 'rot' | 'rot-header' | 'rot-superblock' | 'rot-file-header' | 'bad-sector';

/** As far as the atlas lets it: also when a list of faults is replayed in part, and other things lie there. */
export function damage({ cluster, atlas }: FaultWorld, action: ActionOf<Damaging>): ActionEffect {
  const { replica, file, offset } = action;
  const platter = cluster.machines[replica]?.platter;
  if (platter === undefined || !atlas.allows(action)) return 'nothing';
  if (action.kind === 'bad-sector') platter.breakSector(file, offset);
  else platter.flipBit(file, offset, action.bit);
  return 'struck';
}

export function failReads(world: FaultWorld, { kind, replica, rate, forUs }: ActionOf<'read-errors'>): ActionEffect {
  const platter = world.cluster.machines[replica]?.platter;
  const traps = world.traps(replica);
  if (platter === undefined || traps === null || !(world.atlas.exceeded || world.atlas.isWeak(replica)))
    return 'nothing';
  platter.faults.readErrorChance = rate;
  traps.mayFailToRead = (file, offset, sizeBytes) => world.atlas.mayBeUnreadable(replica, file, offset, sizeBytes);
  traps.set({ on: 'failure', call: 'read', spring: () => world.struck(kind) });
  const callOff = excuseStops(world, replica, rebootUs);
  world.later(forUs, () => {
    platter.faults.readErrorChance = 0;
    // A read that failed just now may be what ends it.
    world.later(rebootUs, callOff);
  });
  return 'waiting';
}

/** Nothing that was reported as done is there. */
export function loseWrite({ cluster, atlas }: FaultWorld, action: ActionOf<'lost-write'>): ActionEffect {
  const { replica, op, target } = action;
  const platter = cluster.machines[replica]?.platter;
  const record = atlas.recordOf(replica, op);
  if (platter === undefined || record === null || !atlas.allowsLoss(replica, op, target)) return 'nothing';
  const { file, offset } = target === 'segment' ? record : record.headerAt;
  platter.replaceBytes(file, offset, new Uint8Array(target === 'segment' ? record.sizeBytes : headerRecordBytes));
  return 'struck';
}

export function misdirectWrite(world: FaultWorld, action: ActionOf<'misdirected-write'>): ActionEffect {
  const { replica, op, toOp, target } = action;
  const { atlas } = world;
  const platter = world.cluster.machines[replica]?.platter;
  const from = atlas.recordOf(replica, op);
  const to = atlas.recordOf(replica, toOp);
  if (platter === undefined || from === null || to === null || op === toOp) return 'nothing';
  if (!atlas.allowsLoss(replica, toOp, target) || !atlas.allowsLoss(replica, op, target)) return 'nothing';
  const [source, aim] = target === 'segment' ? [from, to] : [from.headerAt, to.headerAt];
  const sizeBytes = target === 'segment' ? Math.min(from.sizeBytes, to.sizeBytes) : headerRecordBytes;
  const bytes = platter.bytesAt(source.file, source.offset, sizeBytes);
  if (bytes === undefined) return 'nothing';
  loseWrite(world, { kind: 'lost-write', atUs: action.atUs, replica, op, target });
  platter.replaceBytes(aim.file, aim.offset, bytes);
  return 'struck';
}

/** One at a time: four equal copies bear it. */
export function strayFromSuperblock(
  { atlas, traps, struck }: FaultWorld,
  { kind, replica, fate }: ActionOf<'superblock-astray'>,
): ActionEffect {
  const disk = traps(replica);
  if (disk === null || !atlas.isWeak(replica) || !atlas.hasFourCopies(replica)) return 'nothing';
  if (disk.hasFateFor('superblock')) return 'nothing';
  disk.set({ on: 'fate', target: 'superblock', fate, spring: () => struck(kind) });
  return 'waiting';
}
