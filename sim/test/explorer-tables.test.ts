import { randomInt, seedRandom } from '@kimberlite/base';
import { expect, test } from 'vitest';
import { RecordList, type Spill } from '../src/explorer/records.ts';
import { parseSchedule, replaySchedule, scheduleText } from '../src/explorer/schedule.ts';
import { digestWords, PairTable, VisitedSet } from '../src/explorer/tables.ts';
import { explore, smallWorld } from './explorer-worlds.ts';
import { platformHasher } from './hasher.ts';

test('a visited set knows what it was given, and nothing else', () => {
  const random = seedRandom(7);
  const set = new VisitedSet();
  const known = new Set<string>();
  for (let i = 0; i < 60_000; i++) {
    // Few values a word, so that digests collide in places and come again.
    const digest = Uint32Array.from({ length: digestWords }, () => randomInt(random, 0, 11) * 0x1357_9bdf);
    const text = digest.join();
    if (text === '0,0,0,0') continue;
    expect(set.has(digest)).toBe(known.has(text));
    expect(set.add(digest)).toBe(!known.has(text));
    known.add(text);
  }
  expect(set.size).toBe(known.size);
});

test('a pair table gives back what was put in', () => {
  const table = new PairTable(8);
  for (let a = 0; a < 100; a++) for (let b = 0; b < 50; b++) table.set(a, b, a * 50 + b + 1);
  for (let a = 0; a < 100; a++) for (let b = 0; b < 50; b++) expect(table.get(a, b)).toBe(a * 50 + b + 1);
  expect(table.get(100, 0)).toBe(0);
});

/** Keeps what is spilled, and counts. */
function memorySpill(): Spill & { readonly blocks: Map<string, Uint32Array> } {
  const blocks = new Map<string, Uint32Array>();
  return {
    blocks,
    write: (name, block, words) => void blocks.set(`${name}-${block}`, words.slice()),
    read: (name, block) => blocks.get(`${name}-${block}`) ?? new Uint32Array(0),
    remove: (name, block) => void blocks.delete(`${name}-${block}`),
  };
}

test('records that were spilled are read back, and forgotten ones are removed', () => {
  const spill = memorySpill();
  const list = new RecordList({ name: 'r', words: 2, spill, blocksKept: 1 });
  const count = 2_000_000;
  const record = new Uint32Array(2);
  for (let i = 0; i < count; i++) {
    record[0] = i;
    record[1] = i * 3;
    list.push(record);
  }
  expect(spill.blocks.size).toBeGreaterThan(1);
  for (const at of [0, 1, 524_287, 524_288, 1_234_567, count - 1]) {
    list.read(at, record);
    expect([...record]).toEqual([at, (at * 3) >>> 0]);
  }
  const spilled = spill.blocks.size;
  list.forgetBefore(count - 1);
  expect(spill.blocks.size).toBeLessThan(spilled);
  list.read(count - 1, record);
  expect(record[0]).toBe(count - 1);
});

test('an exploration that spills is the same exploration', () => {
  const spill = memorySpill();
  const world = { ...smallWorld, slowLog: true };
  const spilling = explore(world, { spill, blocksKept: 1, blockWords: 500 });
  expect(spill.blocks.size).toBeGreaterThan(10);
  expect(spilling.counts).toEqual(explore(world).counts);
});

test('a schedule is text and back', () => {
  const schedule = [
    { replica: 1, event: 'q1' },
    { replica: 0, event: 't-heartbeat-timeout' },
    { replica: 2, event: 'xskl-t2-r3' },
  ];
  expect(parseSchedule(scheduleText(schedule))).toEqual(schedule);
  for (const wrong of ['', 'q1', '1', '1q1;2q2']) expect(parseSchedule(wrong)).toBeNull();
});

test('a schedule runs again, and says what cannot happen', () => {
  const options = { world: smallWorld, hasher: platformHasher };
  const timeouts = parseSchedule('0t-heartbeat-timeout,2t-heartbeat-timeout,1q1') ?? [];
  const replay = replaySchedule(options, timeouts);
  expect(replay).toMatchObject({ violation: null, impossible: null });
  expect(replay.events.map(({ lines }) => lines[0])).toEqual([
    'timer heartbeat-timeout',
    'timer heartbeat-timeout',
    'request 1 of a client',
  ]);
  // There is one request, and it was sent.
  expect(replaySchedule(options, [...timeouts, { replica: 1, event: 'q1' }]).impossible).toBe(3);
});
