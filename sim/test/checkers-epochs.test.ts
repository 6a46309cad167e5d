import { type Prepare, sha256Hasher } from '@kimberlite/base';
import { foundingGroup, type Group, viewsPerEpoch } from '@kimberlite/vsr';
import { expect, test } from 'vitest';
import { systemRequest } from '../../packages/vsr/src/system-op.ts';
import { after, expectRejected, type Rejected, replicate, request, type Scene, settled, upsert } from './scene.ts';

// From one group to the next, by hand: replica 2 loses its vote.

const group: Group = { ...foundingGroup(3), epoch: 1, voters: [0, 1], standbys: [2] };
const other: Group = { ...group, standbys: [] };
const reconfigure = systemRequest(sha256Hasher, { type: 'reconfigure', group });
const firstView = viewsPerEpoch + 1;

/** The last op of the first epoch, on all disks and acknowledged. */
const endOfEpoch = (scene: Scene): Prepare => replicate(scene, [reconfigure]);

function enter(scene: Scene, last: Prepare, replicas: readonly number[], into: Group = group): void {
  const { header } = last;
  const suffix = [{ op: header.op, id: header.id, header }];
  const membership = { group: into, boundary: header };
  for (const replica of replicas)
    scene.superblock(replica, { view: firstView, logView: viewsPerEpoch, commit: header.op, suffix, membership });
}

function serve(scene: Scene, last: Prepare, replicas: readonly number[]): void {
  const { header } = last;
  const suffix = [{ op: header.op, id: header.id, header }];
  const membership = { group, boundary: header };
  for (const replica of replicas) scene.superblock(replica, { view: firstView, commit: header.op, suffix, membership });
}

const scenes: Record<string, Rejected> = {
  'another group for the same epoch': {
    kinds: ['epochs'],
    says: /replica 1 is in view 10000000001 with the group epoch 1, voters 0 1, standbys none/,
    make: after((scene) => {
      const last = endOfEpoch(scene);
      enter(scene, last, [0]);
      enter(scene, last, [1], other);
    }),
  },
  'a group that its op does not make': {
    kinds: ['epochs'],
    says: /op 3 makes epoch 1, voters 0 1, standbys 2/,
    make: after((scene) => enter(scene, endOfEpoch(scene), [0], other)),
  },
  'an epoch that begins before its op is committed': {
    kinds: ['commit-quorum'],
    says: /made by op 3; no quorum has more than op 2/,
    make: after((scene) => {
      const last = scene.prepare([reconfigure]);
      scene.sendPrepare(0, last);
      scene.write(0, last);
      enter(scene, last, [0]);
    }),
  },
  'something prepared behind the last op of an epoch': {
    kinds: ['epochs'],
    says: /op 4 view 0 .* is prepared behind the last op of its epoch/,
    make: after((scene) => {
      endOfEpoch(scene);
      scene.sendPrepare(0, scene.prepare([request(2, [upsert('a')])]));
    }),
  },
  'a primary that serves before a quorum of its group has come': {
    kinds: ['epochs'],
    says: /replica 0 sends heartbeat of view 10000000001, and 1 of its voters have come to it/,
    make: after((scene) => {
      const last = endOfEpoch(scene);
      enter(scene, last, [2]);
      serve(scene, last, [0]);
      scene.heartbeat(0, { view: firstView, commit: 3 });
    }),
  },
  'the ack of a standby': {
    kinds: ['epochs'],
    says: /replica 2 sends prepare-ok of view 10000000001, and has no vote in it/,
    make: after((scene) => {
      const last = endOfEpoch(scene);
      enter(scene, last, [0, 1]);
      serve(scene, last, [0, 1, 2]);
      const next = scene.prepare([request(2, [upsert('a')])], { view: firstView });
      scene.sendPrepare(0, next, firstView, 3);
      scene.write(2, next);
      scene.ack(2, next, firstView);
    }),
  },
  'an ack in an epoch of whose beginning a part is missing': {
    kinds: ['epochs'],
    says: /replica 1 acknowledges ops of view 10000000001; of op 3, before it, it has: not written/,
    make: after((scene) => {
      const last = scene.prepare([reconfigure]);
      scene.sendPrepare(0, last);
      for (const replica of [0, 2]) scene.write(replica, last);
      scene.ack(2, last);
      enter(scene, last, [0, 1]);
      serve(scene, last, [0, 1]);
      const next = scene.prepare([request(2, [upsert('a')])], { view: firstView });
      scene.sendPrepare(0, next, firstView, 3);
      scene.write(1, next);
      scene.ack(1, next, firstView);
    }),
  },
};

for (const [name, rejected] of Object.entries(scenes)) {
  test(`rejected: ${name}`, () => expectRejected(rejected));
}

test('an epoch that begins as it should, and commits with the quorum of its own group', () => {
  const scene = settled();
  const last = endOfEpoch(scene);
  enter(scene, last, [0, 1, 2]);
  serve(scene, last, [0, 1, 2]);
  const next = scene.prepare([request(2, [upsert('a')])], { view: firstView });
  scene.sendPrepare(0, next, firstView, 3);
  for (const replica of [0, 1]) scene.write(replica, next);
  scene.ack(1, next, firstView);
  scene.heartbeat(0, { view: firstView, commit: 4 });
  expect(scene.failures).toEqual([]);
});
