import { beforeAll, describe, expect, test } from 'vitest';
import { createCheckers } from '../src/checkers/index.ts';
import { Cluster, simCluster } from '../src/cluster.ts';
import { FrameArchive } from '../src/frame-archive.ts';
import { describeAction, type FaultAction } from '../src/nemesis/action.ts';
import { applyAction } from '../src/nemesis/apply.ts';
import { Atlas } from '../src/nemesis/atlas.ts';
import { DiskTraps } from '../src/nemesis/disk-traps.ts';
import { drawFaults } from '../src/nemesis/draw.ts';
import { type FaultKind, faultKinds, faultTraits } from '../src/nemesis/kinds.ts';
import type { FaultWorld } from '../src/nemesis/world.ts';
import { PlainClient } from '../src/plain-client.ts';
import { runSeed } from '../src/run.ts';
import { Scheduler } from '../src/scheduler.ts';
import { Workload } from '../src/workload.ts';
import { platformHasher } from './hasher.ts';

/** A healthy cluster with some ops in its log. */
function grownCluster(nodes: number): { readonly cluster: Cluster; readonly workload: Workload } {
  const cluster = new Cluster({
    seed: 5,
    nodes,
    checkpointInterval: 16_384,
    options: {},
    createCheckers,
    hasher: platformHasher,
  });
  const { scheduler, links, codec, hasher } = cluster;
  const shared = { scheduler, links, codec, hasher, cluster: simCluster, nodes, giveUpUs: 5_000_000 };
  const workload = new Workload({
    scheduler,
    clients: [0, 1].map((index) => new PlainClient({ ...shared, index })),
    options: { keys: 4, window: 1, thinkUs: 10_000, plenty: 1_000_000, readRate: 0, sharedRate: 0 },
    returned: () => {},
  });
  cluster.format(() => cluster.machines.forEach((_, index) => cluster.boot(index)));
  workload.start();
  scheduler.runUntil(1_500_000);
  workload.running = false;
  scheduler.runUntil(2_500_000);
  expect(cluster.failure).toBeNull();
  expect(cluster.counts.commits).toBeGreaterThan(30);
  return { cluster, workload };
}

function worldOf(cluster: Cluster, workload: Workload, weak: readonly number[]) {
  const atlas = new Atlas(cluster, weak);
  const traps = cluster.machines.map(({ platter }) => new DiskTraps(platter));
  const struck: FaultKind[] = [];
  const world: FaultWorld = {
    cluster,
    workload,
    atlas,
    traps: (replica) => traps[replica] ?? null,
    excuses: () => new Set(),
    later: (us, then) => void cluster.scheduler.after(us, then),
    isLeftBroken: () => false,
    struck: (kind) => void struck.push(kind),
  };
  return { world, atlas, struck };
}

describe('the atlas', () => {
  const weak = 2;
  const op = 20;
  let cluster: Cluster;
  let atlas: Atlas;
  const prepareAt = (replica: number) => {
    const header = atlas.inspect(replica, op)?.header;
    if (header?.state !== 'header') throw new Error('the op is there');
    const file = `segment-0000000${header.place.segment}.wal`;
    return { replica, op, file, offset: header.place.offset + 100 };
  };
  const headerAt = (replica: number) => {
    const found = atlas.inspect(replica, op);
    if (found === null) throw new Error('the op is there');
    return { replica, op, file: found.file, offset: found.offset + 80 };
  };

  beforeAll(() => {
    ({ cluster } = grownCluster(3));
    atlas = new Atlas(cluster, [weak]);
  });

  test('a prepare may rot where another replica that is not weak has it, and then nowhere else but at the weak one', () => {
    expect([0, 1, weak].map((replica) => atlas.allows(prepareAt(replica)))).toEqual([true, true, true]);
    const { file, offset } = prepareAt(0);
    cluster.machines[0]?.platter.flipBit(file, offset, 3);
    expect([0, 1, weak].map((replica) => atlas.allows(prepareAt(replica)))).toEqual([true, false, true]);
    cluster.machines[0]?.platter.flipBit(file, offset, 3);
    expect(atlas.allows(prepareAt(1))).toBe(true);
  });

  test('a copy that a crash could still take away does not count', () => {
    const { file, offset } = prepareAt(0);
    const platter = cluster.machines[0]?.platter;
    const bytes = platter?.bytesAt(file, offset, 1) ?? new Uint8Array(0);
    // Whole again as reads see it, with a version on the way that a crash could bring back.
    for (const written of [bytes.map((byte) => byte ^ 1), bytes]) {
      platter?.write(file, offset, written, () => {});
      cluster.scheduler.runUntil(cluster.scheduler.nowUs + 1_000);
    }
    expect(atlas.allows(prepareAt(1))).toBe(false);
    platter?.sync(file, () => {});
    cluster.scheduler.runUntil(cluster.scheduler.nowUs + 10_000);
    expect(atlas.allows(prepareAt(1))).toBe(true);
  });

  test('header records are touched at the weak replica alone, and the op that is named must be there', () => {
    expect([0, 1, weak].map((replica) => atlas.allows(headerAt(replica)))).toEqual([false, false, true]);
    expect(atlas.allows({ ...prepareAt(0), op: op + 1 })).toBe(false);
    expect(atlas.allows({ ...prepareAt(0), replica: 7 })).toBe(false);
  });

  test('one copy of a superblock at a time', () => {
    const at = (copy: number) => ({ replica: 1, file: 'superblock', offset: copy * 16_384 + 40 });
    expect(atlas.allows(at(0))).toBe(true);
    cluster.machines[1]?.platter.flipBit('superblock', at(0).offset, 1);
    expect(atlas.allows(at(3))).toBe(false);
    atlas.exceeded = true;
    expect(atlas.allows(at(3))).toBe(true);
    atlas.exceeded = false;
  });
});

/** One action of each kind, for a cluster of three. */
const samples: { readonly [Kind in FaultKind]: FaultAction & { readonly kind: Kind } } = {
  loss: { kind: 'loss', atUs: 0, rate: 0.1 },
  duplication: { kind: 'duplication', atUs: 0, rate: 0.1 },
  reordering: { kind: 'reordering', atUs: 0 },
  replay: { kind: 'replay', atUs: 0, rate: 0.1 },
  'slow-network': { kind: 'slow-network', atUs: 0, latencyMinUs: 500, latencyMeanUs: 2000 },
  'narrow-network': { kind: 'narrow-network', atUs: 0, bytesPerSecond: 1_000_000 },
  partition: { kind: 'partition', atUs: 0, links: [[0, 1]], forUs: 1000 },
  isolate: { kind: 'isolate', atUs: 0, links: [[0, 1]], forUs: 1000 },
  'one-way': { kind: 'one-way', atUs: 0, links: [[0, 1]], forUs: 1000 },
  bridge: { kind: 'bridge', atUs: 0, links: [[0, 1]], forUs: 1000 },
  flapping: { kind: 'flapping', atUs: 0, links: [[0, 1]], periodUs: 1000, forUs: 5000 },
  clog: { kind: 'clog', atUs: 0, links: [[0, 1]], forUs: 1000 },
  'old-messages': { kind: 'old-messages', atUs: 0, count: 4 },
  crash: { kind: 'crash', atUs: 0, replica: 0, forUs: 1000 },
  kill: { kind: 'kill', atUs: 0, replica: 0, forUs: 1000 },
  stop: { kind: 'stop', atUs: 0, replica: 0, forUs: 1000 },
  'crash-mid-turn': { kind: 'crash-mid-turn', atUs: 0, replica: 0, calls: 1, forUs: 1000 },
  'crash-in-view-change': { kind: 'crash-in-view-change', atUs: 0, replica: 0, calls: 1, forUs: 1000 },
  'crash-all': { kind: 'crash-all', atUs: 0, outages: [{ replica: 0, afterUs: 0, forUs: 1000 }] },
  'power-cut-while-writing': {
    kind: 'power-cut-while-writing',
    atUs: 0,
    replica: 0,
    target: 'segment',
    outages: [{ replica: 0, afterUs: 0, forUs: 1000 }],
  },
  pause: { kind: 'pause', atUs: 0, replica: 0, forUs: 1000 },
  skew: { kind: 'skew', atUs: 0, replica: 0, skewUs: 1000 },
  drift: { kind: 'drift', atUs: 0, replica: 0, driftPpm: 100 },
  'clock-jump': { kind: 'clock-jump', atUs: 0, replica: 0, byUs: 1000, forUs: 1000 },
  'torn-write': { kind: 'torn-write', atUs: 0, replica: 0, target: 'segment', forUs: 1000 },
  'lost-writes': { kind: 'lost-writes', atUs: 0, replica: 0, target: 'segment', forUs: 1000 },
  'lost-names': { kind: 'lost-names', atUs: 0, replica: 0, forUs: 1000 },
  'failed-sync': { kind: 'failed-sync', atUs: 0, replica: 0, forUs: 1000 },
  'failed-write': { kind: 'failed-write', atUs: 0, replica: 0, forUs: 1000 },
  'full-disk': { kind: 'full-disk', atUs: 0, replica: 0, forUs: 1000 },
  'slow-disk': { kind: 'slow-disk', atUs: 0, replica: 0, factor: 3, forUs: 1000 },
  rot: { kind: 'rot', atUs: 0, replica: 0, file: 'segment-00000001.wal', offset: 4200, op: 1, bit: 1 },
  'rot-header': { kind: 'rot-header', atUs: 0, replica: 0, file: 'headers-00000001.wal', offset: 4200, op: 1, bit: 1 },
  'rot-superblock': { kind: 'rot-superblock', atUs: 0, replica: 1, file: 'superblock', offset: 40, bit: 1 },
  'rot-file-header': { kind: 'rot-file-header', atUs: 0, replica: 0, file: 'segment-00000001.wal', offset: 40, bit: 1 },
  'bad-sector': { kind: 'bad-sector', atUs: 0, replica: 0, file: 'segment-00000001.wal', offset: 8300, op: 2 },
  'read-errors': { kind: 'read-errors', atUs: 0, replica: 0, rate: 0.1, forUs: 1000 },
  'misdirected-write': { kind: 'misdirected-write', atUs: 0, replica: 0, target: 'segment', op: 3, toOp: 4 },
  'lost-write': { kind: 'lost-write', atUs: 0, replica: 0, target: 'headers', op: 5 },
  'superblock-astray': { kind: 'superblock-astray', atUs: 0, replica: 0, fate: 'lost' },
  'client-crash': { kind: 'client-crash', atUs: 0, client: 0, forUs: 1000 },
  'client-cut': { kind: 'client-cut', atUs: 0, client: 0, replica: 0, forUs: 1000 },
  'slow-reader': { kind: 'slow-reader', atUs: 0, client: 0, forUs: 1000 },
  upgrade: { kind: 'upgrade', atUs: 0, replica: 0, forUs: 1000 },
  'lose-machine': { kind: 'lose-machine', atUs: 0, replica: 0 },
  'flip-state': { kind: 'flip-state', atUs: 0, replica: 0, part: 'row', pick: 0 },
  'rude-client': { kind: 'rude-client', atUs: 0, replica: 0 },
  flood: { kind: 'flood', atUs: 0, replica: 0, sessions: 1, leadUs: 1000 },
  'session-flood': { kind: 'session-flood', atUs: 0, replica: 0, sessions: 1 },
  'change-members': { kind: 'change-members', atUs: 0, joins: 3, leaves: null },
};

/** What a script that was cut down to a smaller cluster may still say: a replica, client or file that is not there. */
function outOfReach(action: FaultAction): FaultAction {
  return {
    ...action,
    ...('replica' in action ? { replica: 6 } : {}),
    ...('client' in action ? { client: 99 } : {}),
    ...('links' in action ? { links: [[5, 6]] } : {}),
    ...('joins' in action ? { joins: 6 } : {}),
    ...('outages' in action ? { outages: [{ replica: 6, afterUs: 0, forUs: 1 }] } : {}),
  };
}

describe('actions', () => {
  test('every kind has its action, each does something or waits to, and none minds what is not there', () => {
    const { cluster, workload } = grownCluster(3);
    const { world } = worldOf(cluster, workload, [0]);
    const ambient = (kind: FaultKind) => faultTraits[kind].ambient === true && !('replica' in samples[kind]);
    for (const kind of faultKinds) {
      if (!ambient(kind) && kind !== 'old-messages') {
        const before = cluster.scheduler.pending;
        expect([kind, applyAction(world, outOfReach(samples[kind]))]).toEqual([kind, 'nothing']);
        expect(cluster.scheduler.pending).toBe(before);
      }
      expect(describeAction(samples[kind])).toContain(kind);
    }
    cluster.network.keepsOld = true;
    cluster.scheduler.runUntil(cluster.scheduler.nowUs + 200_000);
    for (const kind of faultKinds) {
      for (const machine of cluster.machines) machine.resume();
      cluster.machines.forEach((_, index) => cluster.boot(index));
      cluster.scheduler.runUntil(cluster.scheduler.nowUs + 300_000);
      expect([kind, applyAction(world, samples[kind])]).not.toEqual([kind, 'nothing']);
      // What is being tried here leaves a mess; the next one is to find running machines.
      for (const machine of cluster.machines) machine.disarm();
      Object.assign(cluster, { failure: null });
    }
  });

  test('a kind is drawn only where it means something, and every run has two', () => {
    const random = new Scheduler(3).random('kinds');
    const seen = new Set<FaultKind>();
    for (let i = 0; i < 400; i++) {
      const nodes = 1 + (i % 6);
      const drawn = drawFaults(random, nodes);
      expect(drawn.length).toBeGreaterThanOrEqual(2);
      for (const kind of drawn) {
        expect(nodes).toBeGreaterThanOrEqual(faultTraits[kind].nodesMin ?? 1);
        seen.add(kind);
      }
    }
    const drawable = faultKinds.filter((kind) => faultTraits[kind].onlyAsked !== true);
    expect(drawable.filter((kind) => !seen.has(kind))).toEqual([]);
  });
});

test('old frames of every type are kept, the first among them', () => {
  const random = new Scheduler(1).random('archive');
  const archive = new FrameArchive();
  const frame = (type: number, number: number) => {
    const bytes = new Uint8Array(18);
    bytes[16] = type;
    bytes[17] = number;
    return bytes;
  };
  expect(archive.draw(random)).toBeNull();
  archive.add(random, frame(8, 1));
  for (let i = 0; i < 200; i++) archive.add(random, frame(3, i));
  const drawn = Array.from({ length: 400 }, () => archive.draw(random));
  expect(drawn.some((bytes) => bytes?.[16] === 8)).toBe(true);
  const heartbeats = new Set(drawn.filter((bytes) => bytes?.[16] === 3).map((bytes) => bytes?.[17]));
  expect(heartbeats.size).toBeGreaterThan(1);
  expect(heartbeats.size).toBeLessThanOrEqual(6);
});

describe('what a run makes of it', () => {
  test('a run in which a drawn fault never struck is a failure of the simulator', () => {
    const drawn = { nodes: 3, seconds: 2, plan: { faults: ['crash', 'rot'] as const } };
    const result = runSeed(1, { ...drawn, script: [{ kind: 'calm', atUs: 2_000_000 }] }, platformHasher);
    expect(result.failure).toMatchObject({ kind: 'hollow' });
    expect(result.failure?.message).toContain('crash, rot');
  });

  test('so is one that acknowledged too little', () => {
    const options = { nodes: 3, seconds: 2, faults: ['skew'] as const, plan: { acknowledgedMin: 100_000 } };
    expect(runSeed(2, options, platformHasher).failure?.message).toContain('commands were acknowledged');
  });

  test('damage beyond what the protocol needs may stop the cluster, and is neither a fork nor a silent loss', () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 12 && !outcomes.has('stopped'); seed++) {
      const options = { nodes: 3, seconds: 2, faults: ['rot'] as const, plan: { exceeds: true } };
      const result = runSeed(seed, options, platformHasher);
      expect([seed, result.failure]).toEqual([seed, null]);
      outcomes.add(result.stats.exceeded);
      const replayed = runSeed(seed, { plan: result.plan, script: result.script }, platformHasher);
      expect(replayed.traceHash).toBe(result.traceHash);
    }
    expect(outcomes).toContain('stopped');
  });
});
