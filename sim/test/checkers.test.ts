import { checksum, type Prepare } from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import {
  after,
  expectRejected,
  registration,
  type Rejected,
  replicate,
  request,
  Scene,
  settled,
  upsert,
} from './scene.ts';

// Each checker is shown streams of events made by hand: those it must accept, and one for each way to break its rule.
// A checker that was never seen to catch anything is not a checker.

const suffixOf = (prepares: readonly Prepare[]) =>
  prepares.map(({ header }) => ({ op: header.op, id: header.id, header }));
const durable = (prepare: Prepare) => ({ prepare, present: true, nack: false });

/** Replicas 1 and 2 leave view 0 with this log and settle in view 1; nothing they say is wrong. */
function toView1(scene: Scene, kept: Prepare): void {
  const { op } = kept.header;
  const suffix = suffixOf([kept]);
  for (const index of [1, 2]) scene.superblock(index, { view: 1, logView: 0, commit: op - 1, suffix });
  const heard = scene.doViewChange(2, {
    view: 1,
    commit: op - 1,
    timestamp: kept.header.timestamp,
    marks: [durable(kept)],
  });
  scene.send(2, heard);
  scene.hear(1, heard);
  scene.superblock(1, { view: 1, commit: op - 1, suffix });
  scene.startView(1, 1, [kept], op - 1);
  scene.superblock(2, { view: 1, commit: op - 1, suffix });
  scene.ack(2, kept, 1);
}

/** Normal operation, a view change that undoes an op, and a restart that plays the log. */
function longStory(): Scene {
  const scene = settled();
  replicate(scene, [request(2, [upsert('a'), upsert('a2')])]);
  const kept = replicate(scene, [request(3, [upsert('b', 'id-b')])], [0]);
  const undone = scene.prepare([request(4, [upsert('c')])]);
  scene.sendPrepare(0, undone, 0, 4);
  scene.write(0, undone);
  toView1(scene, kept);
  scene.execute(1, kept);
  const again = scene.prepare([request(4, [upsert('b', 'id-b')])], { view: 1, after: kept.header });
  scene.sendPrepare(1, again, 1, 4);
  for (const index of [1, 2]) scene.write(index, again);
  scene.ack(2, again, 1);
  scene.execute(1, again);
  scene.heartbeat(1, { view: 1, commit: 5 });
  for (const prepare of [kept, again]) scene.execute(2, prepare);
  scene.reboot(0);
  scene.superblock(0, { view: 1, commit: 5, suffix: suffixOf([kept]) });
  scene.write(0, again);
  for (const prepare of [...scene.log, again]) scene.execute(0, prepare);
  scene.end();
  return scene;
}

const accepted: Record<string, () => Scene> = {
  'nothing at all': () => {
    const scene = new Scene();
    scene.end();
    return scene;
  },
  'normal operation': () => {
    const scene = settled();
    for (const number of [2, 3, 4]) replicate(scene, [request(number, [upsert(`v${number}`)])]);
    scene.end();
    return scene;
  },
  'a view change, an undone op, a replay of an idempotency id, a restart': longStory,
  'a group of five commits with two of the backups': () => {
    const scene = new Scene({ nodes: 5 });
    const prepare = scene.prepare([registration()]);
    scene.sendPrepare(0, prepare);
    for (const index of [0, 1, 2]) scene.write(index, prepare);
    for (const index of [1, 2]) scene.ack(index, prepare);
    scene.heartbeat(0, { commit: 1 });
    return scene;
  },
  'a replica alone commits what its disk has': () => {
    const scene = new Scene({ nodes: 1 });
    for (const requests of [[registration()], [request(1, [upsert('a')])]]) {
      const prepare = scene.prepare(requests);
      scene.write(0, prepare);
      scene.execute(0, prepare);
    }
    scene.end();
    return scene;
  },
  'a replica alone that has lost the op below a later one starts over from there': () => {
    const scene = new Scene({ nodes: 1 });
    const first = scene.prepare([registration()]);
    scene.write(0, first);
    scene.execute(0, first);
    scene.prepare([request(1, [upsert('torn')])]);
    scene.write(0, scene.prepare([request(2, [upsert('left behind')])]));
    scene.superblock(0, { view: 1 });
    for (const number of [1, 2]) {
      const prepare = scene.prepare([request(number, [upsert('a')])], {
        view: 1,
        after: number === 1 ? first.header : scene.tip,
      });
      scene.write(0, prepare);
      scene.execute(0, prepare);
    }
    scene.end();
    return scene;
  },
  'an op that a quorum had, undone with the one before it': () => {
    const scene = settled();
    const second = scene.log[1];
    if (second === undefined) throw new Error('there are two ops');
    const alone = scene.prepare([request(2, [upsert('alone')])]);
    const behind = scene.prepare([request(3, [upsert('behind')])]);
    for (const prepare of [alone, behind]) scene.sendPrepare(0, prepare, 0, 2);
    scene.write(0, behind);
    scene.write(1, behind);
    scene.ack(1, behind);
    toView1(scene, second);
    const made = [2, 3].map((number) => {
      const prepare = scene.prepare([request(number, [upsert('b')])], {
        view: 1,
        after: number === 2 ? second.header : scene.tip,
      });
      scene.sendPrepare(1, prepare, 1, number);
      for (const index of [1, 2]) scene.write(index, prepare);
      scene.ack(2, prepare, 1);
      scene.execute(1, prepare);
      return prepare;
    });
    scene.heartbeat(1, { view: 1, commit: 4 });
    for (const prepare of made) scene.execute(2, prepare);
    return scene;
  },
  'a request that is in the log twice runs once': () => {
    const scene = settled();
    const twice = request(2, [upsert('a')]);
    replicate(scene, [twice]);
    replicate(scene, [twice, request(3, [upsert('b')])]);
    scene.end();
    return scene;
  },
  'two clients that are registered by one op': () => {
    const scene = settled();
    replicate(scene, [registration(2), registration(3)]);
    const [second, third] = [2, 3].map((client) => request(1, [upsert(`c${client}`)], { client, session: 3 }));
    if (second === undefined || third === undefined) throw new Error('there are two');
    replicate(scene, [third, second]);
    scene.end();
    return scene;
  },
  'an ack of what the disk has damaged since the boot': () => {
    const scene = settled();
    const prepare = replicate(scene, [request(2, [upsert('a')])]);
    scene.node(1).platter.flipBit('segment-00000001.wal', scene.node(1).end - 4096 + 70, 3);
    scene.ack(1, prepare);
    return scene;
  },
  'another log in a later view, of an op that a quorum never had': () => {
    const scene = settled();
    const lost = scene.prepare([request(2, [upsert('a')])]);
    scene.sendPrepare(0, lost, 0, 2);
    scene.write(0, lost);
    const [, second] = scene.log;
    if (second === undefined) throw new Error('there are two ops');
    toView1(scene, second);
    const other = scene.prepare([request(2, [upsert('b')])], { view: 1, after: second.header });
    scene.sendPrepare(1, other, 1, 2);
    return scene;
  },
};

test.each(Object.entries(accepted))('accepted: %s', (_, make) => {
  expect(make().failures).toEqual([]);
});

/** Another prepare for the op of `prepare`, in that view, with the same parent. */
const rivalOf = (scene: Scene, { header }: Prepare, view: number): Prepare => {
  const after = scene.log.find((one) => one.header.id === header.parent)?.header;
  if (after === undefined) throw new Error('the parent is in the log');
  return scene.prepare([request(2, [upsert('rival')])], { view, after });
};

const third = (scene: Scene): Prepare => replicate(scene, [request(2, [upsert('a')])]);

const prepares: Record<string, Rejected> = {
  'two prepares for one op of one view': {
    kinds: ['one-prepare-per-view'],
    says: /op 3 of view 0 is .* and, from replica 0/,
    make: after((scene) => {
      const { tip } = scene;
      for (const value of ['a', 'b']) {
        scene.sendPrepare(0, scene.prepare([request(2, [upsert(value)])], { after: tip }));
      }
    }),
  },
  'the second of them only on a disk': {
    kinds: ['one-prepare-per-view'],
    says: /on the disk of replica 0/,
    make: after((scene) => {
      const { tip } = scene;
      scene.sendPrepare(0, scene.prepare([request(2, [upsert('a')])]));
      scene.write(0, scene.prepare([request(2, [upsert('b')])], { after: tip }));
    }),
  },
  'the second of them only named in a do_view_change': {
    kinds: ['one-prepare-per-view'],
    says: /from replica 2/,
    make: after((scene) => {
      const { tip } = scene;
      scene.sendPrepare(0, scene.prepare([request(2, [upsert('a')])]));
      const other = scene.prepare([request(2, [upsert('b')])], { after: tip });
      scene.superblock(2, { view: 1, logView: 0, suffix: suffixOf([other]) });
      scene.send(2, scene.doViewChange(2, { view: 1, marks: [durable(other)] }));
    }),
  },
  'an inherited prepare, sent again with the view it is sent in (pitfall 66)': {
    kinds: ['one-prepare-per-view'],
    says: /view 1 has .* at op 3, and sends op 3 view 1/,
    make: after((scene) => {
      const { tip } = scene;
      const requests = [request(2, [upsert('a')])];
      const kept = scene.prepare(requests);
      scene.sendPrepare(0, kept);
      scene.write(1, kept);
      scene.superblock(1, { view: 1, commit: 2, suffix: suffixOf([kept]) });
      scene.startView(1, 1, [kept], 2);
      scene.sendPrepare(1, kept, 1, 2);
      scene.sendPrepare(1, scene.prepare(requests, { view: 1, after: tip }), 1, 2);
    }),
  },
  'a prepare made by a backup': {
    kinds: ['one-prepare-per-view'],
    says: /replica 1, not the primary of it/,
    make: after((scene) => scene.sendPrepare(1, scene.prepare([request(2, [upsert('a')])]))),
  },
  'an id that is no checksum (pitfall 10)': {
    kinds: ['identity'],
    says: /id 00000000 from replica 0 has the checksum/,
    make: after((scene) => {
      const { header, bytes } = scene.prepare([request(2, [upsert('a')])]);
      const zeroed = bytes.slice();
      zeroed.fill(0, 0, 16);
      scene.sendPrepare(0, { header: { ...header, id: checksum('0'.repeat(32)) }, bytes: zeroed });
    }),
  },
  'another body under the same header (pitfall 66)': {
    kinds: ['identity'],
    says: /the body of op 3/,
    make: after((scene) => {
      const { header, bytes } = scene.prepare([request(2, [upsert('a')])]);
      const changed = bytes.slice();
      changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
      scene.sendPrepare(0, { header, bytes: changed });
    }),
  },
  'a header that is not the first bytes': {
    kinds: ['identity', 'timestamps'],
    says: /is not its first bytes/,
    make: after((scene) => {
      const { header, bytes } = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, { header: { ...header, timestamp: scene.node(0).replica.root.timestamp }, bytes });
    }),
  },
  'a prepare that is encoded again on its way': {
    kinds: ['identity'],
    says: /has other bytes from replica 1 than before/,
    make: after((scene) => {
      const prepare = third(scene);
      const bytes = prepare.bytes.slice();
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      scene.send(1, { type: 'repair-prepare', from: scene.node(1).replica.self, prepare: { ...prepare, bytes } });
    }),
  },
  'a timestamp that does not rise from op to op (pitfall 17)': {
    kinds: ['timestamps'],
    says: /op 3 view 0 .* at 2000 follows op 2 view 0 .* at 2000/,
    make: after((scene) => {
      scene.sendPrepare(0, scene.prepare([request(2, [upsert('a')])], { timestamp: scene.tip.timestamp }));
    }),
  },
  'a new primary below a timestamp it was told of': {
    kinds: ['timestamps'],
    says: /its primary had been told of 9000/,
    make: after((scene) => {
      const kept = third(scene);
      const suffix = suffixOf([kept]);
      for (const index of [1, 2]) scene.superblock(index, { view: 1, logView: 0, commit: 2, suffix });
      scene.hear(1, scene.doViewChange(2, { view: 1, commit: 2, timestamp: 9000, marks: [durable(kept)] }));
      scene.superblock(1, { view: 1, commit: 2, suffix });
      scene.sendPrepare(1, scene.prepare([request(3, [upsert('b')])], { view: 1, timestamp: 8999 }), 1, 2);
    }),
  },
};

const commits: Record<string, Rejected> = {
  'a commit number that no quorum of disks bears out': {
    kinds: ['commit-quorum'],
    says: /replica 0 sends heartbeat with commit 3; no quorum has more than op 2/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare, 0, 2);
      scene.write(0, prepare);
      scene.heartbeat(0, { commit: 3 });
    }),
  },
  'one backup counted twice (pitfall 60)': {
    kinds: ['commit-quorum'],
    says: /commit 1; no quorum/,
    make: () => {
      const scene = new Scene({ nodes: 5 });
      const prepare = scene.prepare([registration()]);
      scene.sendPrepare(0, prepare);
      for (const index of [0, 1]) scene.write(index, prepare);
      for (let i = 0; i < 3; i++) scene.ack(1, prepare);
      scene.heartbeat(0, { commit: 1 });
      return scene;
    },
  },
  'acks of two views added up (pitfall 12)': {
    kinds: ['commit-quorum'],
    says: /commit 1; no quorum/,
    make: () => {
      const scene = new Scene({ nodes: 5 });
      const prepare = scene.prepare([registration()]);
      scene.sendPrepare(0, prepare);
      for (const index of [0, 1, 2]) scene.write(index, prepare);
      scene.ack(1, prepare);
      scene.superblock(2, { view: 1, suffix: suffixOf([prepare]) });
      scene.ack(2, prepare, 1);
      scene.heartbeat(0, { commit: 1 });
      return scene;
    },
  },
  'an own ack before the own sync (pitfall 20)': {
    kinds: ['commit-quorum'],
    says: /commit 3/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare, 0, 2);
      scene.write(0, prepare, { bodySynced: false, headerWritten: false });
      scene.write(1, prepare);
      scene.ack(1, prepare);
      scene.heartbeat(0, { commit: 3 });
    }),
  },
  'executed before it is committed': {
    kinds: ['commit-quorum', 'agreement'],
    says: /replica 0 executes op 3/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare, 0, 2);
      scene.execute(0, prepare);
    }),
  },
  'a superblock that knows too much': {
    kinds: ['commit-quorum'],
    says: /replica 2 writes a superblock with commit 7/,
    make: after((scene) => scene.superblock(2, { commit: 7 })),
  },
  'an answer from an op that is not committed': {
    kinds: ['commit-quorum'],
    says: /answers a query from op 3/,
    make: after((scene) => scene.answer(0, 1, 1, 3)),
  },
  'a view that begins without a committed op (pitfalls 8, 9)': {
    kinds: ['agreement'],
    says: /view 1 starts with a log up to op 2; op 3 was committed before/,
    make: after((scene) => {
      third(scene);
      scene.superblock(1, { view: 1 });
      scene.startView(1, 1, scene.log.slice(1, 2), 2);
    }),
  },
  'a view that begins with another op in its place': {
    kinds: ['agreement'],
    says: /op 3 is .*, committed in view 0/,
    make: after((scene) => {
      const rival = rivalOf(scene, third(scene), 1);
      scene.superblock(1, { view: 1 });
      scene.superblock(2, { view: 1 });
      scene.superblock(1, { view: 2 });
      scene.superblock(2, { view: 2 });
      scene.startView(2, 2, [...scene.log.slice(1, 2), rival], 2);
    }),
  },
  'a later prepare that follows another log': {
    kinds: ['agreement'],
    says: /op 3 is .*, committed in view 0, but there is op 3 view 1/,
    make: after((scene) => {
      const rival = rivalOf(scene, third(scene), 1);
      scene.superblock(1, { view: 1 });
      scene.sendPrepare(1, rival, 1, 2);
    }),
  },
  'the other log seen before the quorum was complete': {
    kinds: ['agreement'],
    says: /op 3 is .*, committed in view 0, but there is op 3 view 1/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.log.push(prepare);
      scene.sendPrepare(0, prepare, 0, 2);
      for (const index of [0, 1]) scene.write(index, prepare);
      scene.superblock(2, { view: 1 });
      scene.write(2, rivalOf(scene, prepare, 1));
      scene.ack(1, prepare);
      scene.heartbeat(0, { commit: 3 });
    }),
  },
  'an ack, in a later view, of what that view has undone': {
    kinds: ['persistence', 'agreement'],
    says: /in view 1 .* is acked/,
    make: after((scene) => {
      const undone = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, undone, 0, 2);
      scene.write(0, undone);
      const second = scene.log[1];
      if (second === undefined) throw new Error('there are two ops');
      toView1(scene, second);
      const other = scene.prepare([request(2, [upsert('b')])], { view: 1, after: second.header });
      scene.sendPrepare(1, other, 1, 2);
      for (const index of [1, 2]) scene.write(index, other);
      scene.ack(2, other, 1);
      scene.ack(2, undone, 1);
    }),
  },
};

describe.each(Object.entries({ prepares, commits }))('%s', (_, cases) => {
  test.each(Object.entries(cases))('rejected: %s', (_name, one) => expectRejected(one));
});
