import { type RandomState, randomChance, randomInt, randomPick } from '@kimberlite/base';
import type { Cluster } from '../cluster.ts';
import { shuffled } from '../random.ts';
import type { FaultAction } from './action.ts';
import { type Atlas, headerRecordBytes } from './atlas.ts';

export type DamageKind = 'rot' | 'rot-header' | 'rot-superblock' | 'rot-file-header' | 'bad-sector';

const fileHeaderBytes = 4096;
/** Of a copy of the superblock, the part that is not zero. */
const superblockUsedBytes = 1024;
const superblockCopyBytes = 16_384;
/** Places tried until the atlas lets one be damaged. */
const attemptsMax = 6;
/** Ops at the end of the log: what the next view change is about. */
const recentOps = 8;

export interface DamageDraw {
  readonly cluster: Cluster;
  readonly atlas: Atlas;
  readonly random: RandomState;
  readonly atUs: number;
}

/** A place of that kind that may be damaged now; null when none was found. */
export function drawDamage(draw: DamageDraw, kind: DamageKind): FaultAction | null {
  const { cluster, random } = draw;
  const replicas = shuffled(
    random,
    cluster.machines.map((_, index) => index),
  );
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const replica = replicas[attempt % replicas.length] ?? 0;
    const action = placeOn(draw, kind, replica);
    if (action !== null && 'file' in action && draw.atlas.allows(action)) return action;
  }
  return null;
}

function placeOn(draw: DamageDraw, kind: DamageKind, replica: number): FaultAction | null {
  const { random, atUs } = draw;
  const bit = randomInt(random, 0, 7);
  switch (kind) {
    case 'rot':
    case 'bad-sector': {
      const spot = prepareSpot(draw, replica);
      if (spot === null) return null;
      return kind === 'rot' ? { kind, atUs, ...spot, bit } : { kind, atUs, ...spot };
    }
    case 'rot-header': {
      // Sometimes one that was never written: then nothing tells what may have been there.
      const op = drawOp(draw) + (randomChance(random, 0.2) ? randomInt(random, 1, recentOps) : 0);
      const found = draw.atlas.inspect(replica, op);
      if (found === null) return null;
      const offset = found.offset + randomInt(random, 0, headerRecordBytes - 1);
      return { kind, atUs, op, replica, file: found.file, offset, bit };
    }
    case 'rot-superblock': {
      const copy = randomInt(random, 0, 3);
      const offset = copy * superblockCopyBytes + randomInt(random, 0, superblockUsedBytes - 1);
      return { kind, atUs, replica, file: 'superblock', offset, bit };
    }
    case 'rot-file-header': {
      const files = draw.cluster.machines[replica]?.platter.fileNames() ?? [];
      const numbered = files.filter((file) => file.endsWith('.wal') && !file.startsWith('unfinished'));
      if (numbered.length === 0) return null;
      const file = randomPick(random, numbered);
      return { kind, atUs, replica, file, offset: randomInt(random, 0, fileHeaderBytes - 1), bit };
    }
  }
}

/** An op of the log so far, often one of the last. */
export function drawOp({ cluster, random }: DamageDraw): number {
  const head = Math.max(1, cluster.counts.commits, ...cluster.states.map((state) => state.head));
  return randomChance(random, 0.5) ? Math.max(1, head - randomInt(random, 0, recentOps)) : randomInt(random, 1, head);
}

/** A byte of an op's frame or prepare on that disk. */
export function prepareSpot(
  draw: DamageDraw,
  replica: number,
  op: number = drawOp(draw),
): { readonly replica: number; readonly op: number; readonly file: string; readonly offset: number } | null {
  const record = draw.atlas.recordOf(replica, op);
  if (record === null) return null;
  return { replica, op, file: record.file, offset: record.offset + randomInt(draw.random, 0, record.sizeBytes - 1) };
}

/**
 * More than the protocol can do without: some prepare on every disk, or most superblocks. The cluster may stop for
 * good then, and may not go on as if nothing were missing.
 */
export function drawExcess(draw: DamageDraw): readonly FaultAction[] {
  const { cluster, random, atUs } = draw;
  const everyone = cluster.machines.map((_, index) => index);
  const actions: FaultAction[] = [{ kind: 'exceed', atUs }];
  if (randomChance(random, 0.7)) {
    const ops = Array.from({ length: randomInt(random, 1, 3) }, () => drawOp(draw));
    for (const replica of everyone) {
      for (const op of ops) {
        const spot = prepareSpot(draw, replica, op);
        if (spot !== null) actions.push({ kind: 'rot', atUs, ...spot, bit: randomInt(random, 0, 7) });
      }
    }
  } else {
    for (const replica of everyone.slice(0, randomInt(random, 1, everyone.length))) {
      for (let copy = 0; copy < 4; copy++) {
        const offset = copy * superblockCopyBytes + randomInt(random, 0, 127);
        actions.push({
          kind: 'rot-superblock',
          atUs,
          replica,
          file: 'superblock',
          offset,
          bit: randomInt(random, 0, 7),
        });
      }
    }
  }
  const outages = everyone.map((replica) => ({ replica, afterUs: 0, forUs: randomInt(random, 1_000, 200_000) }));
  return [...actions, { kind: 'crash-all', atUs, outages }];
}
