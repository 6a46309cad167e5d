import { op as toOp, type Prepare, type RecoveredLog, view } from '@kimberlite/base';
import { initialDurableState } from '@kimberlite/vsr';
import { expect, test } from 'vitest';
import { bench, chain, format, open, recover, unwrap } from '../../packages/log/test/harness.ts';
import { type DurableImage, emptyImage, recoverImage, withPrepare } from '../src/explorer/durable-image.ts';
import type { Local } from '../src/explorer/local.ts';
import { crashes } from '../src/explorer/own-events.ts';
import { afterCrash } from '../src/explorer/run-event.ts';
import { StateSpace } from '../src/explorer/state-space.ts';
import { smallWorld } from './explorer-worlds.ts';
import { platformHasher } from './hasher.ts';

// The explorer's disk is a model. Whatever the log makes of a simulated disk after a crash has to be one of the
// outcomes the model has: then an exploration of the model's outcomes is one of the log's.

const space = new StateSpace({ world: { ...smallWorld, crashes: 1 }, hasher: platformHasher });
const anyLocal = space.locals.at(space.root[0] ?? 0);

/** What a restart is told, as text. */
const told = (log: RecoveredLog): string =>
  JSON.stringify([log.head, log.headCertain, log.slots.map(({ op, id, state }) => [op, id, state])]);

interface Case {
  readonly name: string;
  readonly logView: number;
  /** Completed before the crash, in order. */
  readonly done: readonly Prepare[];
  /** Begun before the crash. */
  readonly begun: readonly Prepare[];
  readonly suffix: readonly Prepare[];
}

const [first, second, third] = chain([10, 20, 30], 1) as [Prepare, Prepare, Prepare];
const [otherSecond, otherThird] = chain([40, 5000], 2, first) as [Prepare, Prepare];

const cases: readonly Case[] = [
  { name: 'one write', logView: 1, done: [first], begun: [second], suffix: [] },
  { name: 'two writes', logView: 1, done: [first], begun: [second, third], suffix: [] },
  { name: 'a write that was just acknowledged', logView: 1, done: [first, second], begun: [third], suffix: [] },
  { name: 'nothing', logView: 1, done: [first, second], begun: [], suffix: [] },
  {
    name: 'over an older prepare',
    logView: 2,
    done: [first, second],
    begun: [otherSecond, otherThird],
    suffix: [first, otherSecond],
  },
];

/** What the log says after a crash so many completions of the disk after the last write was begun. */
function reallyTold({ logView, done, begun, suffix }: Case, seed: number, steps: number): string {
  const b = bench(seed);
  unwrap(format(b));
  const opened = unwrap(open(b));
  recover(opened, { view: logView, logView });
  let left = done.length;
  for (const prepare of done) opened.log.append(prepare, () => void left--);
  b.clockwork.run(() => left === 0);
  let ended = 0;
  for (const prepare of begun) opened.log.append(prepare, () => void ended++);
  for (let i = 0; i < steps && ended === 0; i++) b.clockwork.step();
  b.disk.crash();
  return told(recover(unwrap(open(b)), { view: logView, logView, suffix }));
}

function modelTells({ logView, done, begun, suffix }: Case): ReadonlySet<string> {
  const superblock = {
    ...initialDurableState(),
    view: view(logView),
    logView: view(logView),
    suffix: suffix.map(({ header }) => ({ op: toOp(header.op), id: header.id, header })),
  };
  const image = done.reduce<DurableImage>((before, prepare) => withPrepare(before, prepare), emptyImage(superblock));
  const local: Local = { ...anyLocal, image, writes: begun, superblockWrite: null };
  const outcomes = crashes(local, { ...smallWorld, viewChanges: 3 }, false);
  return new Set(outcomes.map((outcome) => told(recoverImage(afterCrash(local, outcome)))));
}

test.each(cases)(
  'what the log finds after a crash is an outcome of the model: $name',
  { timeout: 120_000 },
  (example) => {
    const model = modelTells(example);
    const seen = new Set<string>();
    for (let seed = 1; seed <= 12; seed++) {
      for (let steps = 0; steps <= 6; steps++) seen.add(reallyTold(example, seed, steps));
    }
    for (const text of seen) expect([...model]).toContain(text);
    expect(seen.size).toBeGreaterThanOrEqual(example.begun.length === 0 ? 1 : 2);
  },
);
