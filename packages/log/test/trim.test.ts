import {
  assert,
  bytesEqual,
  type CheckpointRef,
  type Op,
  type Prepare,
  type RecoveredLog,
  type Result,
  type View,
} from '@kimberlite/base';
import {
  checkpointFile,
  inspectSuperblock,
  type LogError,
  type OpenedLog,
  type SuperblockInspection,
  verifyLog,
  type VerifyReport,
} from '@kimberlite/log';
import { describe, expect, it } from 'vitest';
import { LocationIndex } from '../src/location-index.ts';
import {
  append,
  type Bench,
  bench,
  chain,
  close,
  formatted,
  hasher,
  identity,
  open,
  present,
  read,
  smallGeometry,
  unwrap,
} from './harness.ts';

// Three prepares fill a segment, sixteen a headers file.
const prepares = chain(Array.from({ length: 40 }, (_, i) => 300_000 + i));
const idOf = (op: number): Prepare['header']['id'] => present(prepares[op - 1]).header.id;
const trimmedAt = 21;

/** A prepare to go on from, as if it was of that op. */
const asOp = (op: number): Prepare => ({
  ...present(prepares[0]),
  header: { ...present(prepares[0]).header, op: op as Op },
});

const segmentsOf = (b: Bench): number[] =>
  b.disk.fileNames().flatMap((file) => (file.startsWith('segment-') ? [Number(file.slice(8, 16))] : []));
const headersOf = (b: Bench): number[] =>
  b.disk.fileNames().flatMap((file) => (file.startsWith('headers-') ? [Number(file.slice(8, 16))] : []));

const verify = (b: Bench): VerifyReport =>
  unwrap(b.clockwork.await((done) => verifyLog({ ...identity, disk: b.disk, running: false }, done)));

const inspect = (b: Bench): SuperblockInspection =>
  unwrap(
    b.clockwork.await<Result<SuperblockInspection, LogError>>((done) =>
      inspectSuperblock({ ...identity, disk: b.disk }, done),
    ),
  );
const trimOf = (b: Bench): { readonly op: number; readonly segment: number } => {
  const { chosen } = inspect(b);
  assert(chosen.ok, 'a copy is intact');
  return chosen.value.trim;
};

const recoverAbove = (opened: OpenedLog, base: number): RecoveredLog =>
  opened.recover({ base: { op: base as Op, id: idOf(base) }, view: 0 as View, logView: 0 as View, suffix: [] });

function filled(seed = 1, count = prepares.length): { b: Bench; opened: OpenedLog } {
  const b = formatted(seed);
  const opened = unwrap(open(b));
  append(b, opened, prepares.slice(0, count));
  return { b, opened };
}

/** Everything from `from` on is there, as it was appended. */
function checkKept(b: Bench, opened: OpenedLog, from: number, to = prepares.length): void {
  for (let op = from; op <= to; op++) {
    const found = read(b, opened, op, idOf(op));
    expect(found !== null && bytesEqual(found.bytes, present(prepares[op - 1]).bytes), `op ${op}`).toBe(true);
  }
}

describe('trimming', () => {
  it('removes whole files below the op, lowest first, and goes on', () => {
    const { b, opened } = filled();
    const before = opened.log.usedBytes();
    expect(segmentsOf(b)[0]).toBe(1);
    opened.log.trim(trimmedAt as Op, []);
    expect(read(b, opened, trimmedAt - 1, idOf(trimmedAt - 1))).toBeNull();
    b.clockwork.run();
    // Op 21 is the last of three in segment 7, and in the second headers file.
    expect(segmentsOf(b)[0]).toBe(7);
    expect(headersOf(b)).toEqual([2, 3, 4]);
    expect(trimOf(b)).toEqual({ op: trimmedAt, segment: 7 });
    const used = b.disk.usedBytes();
    expect(opened.log.usedBytes()).toBe(used);
    expect(before - used).toBe(6 * smallGeometry.segmentBytes + 4096 + 16 * 256);
    checkKept(b, opened, trimmedAt);
    const more = chain([10, 300_000], 0, present(prepares.at(-1)));
    append(b, opened, more);
    close(b, opened);
    expect(verify(b)).toMatchObject({ problems: [], leftovers: [], highest: 42, intact: 22 });
    const again = unwrap(open(b));
    expect(again.log.usedBytes()).toBe(b.disk.usedBytes());
    const recovered = recoverAbove(again, trimmedAt - 1);
    expect(recovered.slots.map(({ op }) => op)).toEqual(Array.from({ length: 22 }, (_, i) => trimmedAt + i));
    expect(recovered.slots.every(({ state }) => state === 'durable')).toBe(true);
    checkKept(b, again, trimmedAt);
  });

  it('gives what it trimmed as faulty to whoever starts below it, never as missing', () => {
    const { b, opened } = filled();
    opened.log.trim(trimmedAt as Op, []);
    b.clockwork.run();
    close(b, opened);
    const recovered = recoverAbove(unwrap(open(b)), 3);
    expect(recovered.slots.map(({ op }) => op)).toEqual(Array.from({ length: 37 }, (_, i) => 4 + i));
    for (const { op, state } of recovered.slots) expect(state, `op ${op}`).toBe(op < trimmedAt ? 'faulty' : 'durable');
    expect(recovered.head).toBe(40);
  });

  it('keeps a segment in which a prepare lies that is still wanted', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    // Op 30 came early, as a repaired one does.
    append(b, opened, prepares.slice(29, 30));
    append(b, opened, prepares.slice(0, 29));
    opened.log.trim(trimmedAt as Op, []);
    b.clockwork.run();
    expect(segmentsOf(b)[0]).toBe(1);
    checkKept(b, opened, trimmedAt, 30);
    opened.log.trim(31 as Op, []);
    b.clockwork.run();
    expect(segmentsOf(b)[0]).toBe(10);
  });

  it('never passes what is still being written, and ends appends of what is below', () => {
    const { b, opened } = filled(1, 20);
    const ended: number[] = [];
    for (const prepare of prepares.slice(20, 30)) {
      opened.log.append(prepare, () => ended.push(prepare.header.op));
    }
    opened.log.trim(29 as Op, []);
    b.clockwork.run();
    expect(ended).toHaveLength(10);
    expect(trimOf(b).op).toBe(21);
    checkKept(b, opened, 21, 30);
    opened.log.trim(29 as Op, []);
    opened.log.append(present(prepares[4]), () => ended.push(5));
    b.clockwork.run();
    expect(ended.at(-1)).toBe(5);
    expect(trimOf(b).op).toBe(29);
    // Going back is no going back.
    opened.log.trim(3 as Op, []);
    b.clockwork.run();
    expect(trimOf(b).op).toBe(29);
    expect(b.fatal).toEqual([]);
  });

  it('goes beyond everything the log has, and appends go on there', () => {
    const far = 1_000_000_000;
    const { b, opened } = filled(1, 20);
    opened.log.trim(far as Op, []);
    b.clockwork.run();
    expect(headersOf(b)).toEqual([]);
    close(b, opened);
    expect(verify(b)).toMatchObject({ problems: [], highest: 0, intact: 0 });
    const again = unwrap(open(b));
    const from = asOp(far - 1);
    const later = chain([10, 20, 30], 0, from);
    append(b, again, later);
    close(b, again);
    expect(headersOf(b)[0]).toBe(far / 16);
    expect(verify(b)).toMatchObject({ problems: [], highest: far + 2, intact: 3 });
    // Opening looks at what is there, not at a thousand million ops before it.
    const last = unwrap(open(b));
    const recovered = last.recover({
      base: { op: (far - 1) as Op, id: from.header.id },
      view: 0 as View,
      logView: 0 as View,
      suffix: [],
    });
    expect(recovered.slots.map(({ op, state }) => [op, state])).toEqual([
      [far, 'durable'],
      [far + 1, 'durable'],
      [far + 2, 'durable'],
    ]);
  });

  it('beyond the highest headers file while one is being made and appends wait, at every step', () => {
    const at = 16 * 5 + 1;
    const from = asOp(at - 1);
    const later = chain([10, 20, 30], 0, from);
    for (let steps = 0; steps < 40; steps += 3) {
      const { b, opened } = filled(steps + 1, 8);
      let ended = 0;
      const count = (): void => {
        ended += 1;
      };
      for (const prepare of prepares.slice(8, 12)) opened.log.append(prepare, count);
      for (let i = 0; i < steps; i++) b.clockwork.step();
      opened.log.trim(at as Op, []);
      b.clockwork.run();
      const made = b.disk.completed['create'] ?? 0;
      opened.log.trim(at as Op, []);
      for (const prepare of later) opened.log.append(prepare, count);
      b.clockwork.run();
      // The sixth and the seventh, and none of those in between.
      expect((b.disk.completed['create'] ?? 0) - made, `after ${steps}`).toBeLessThanOrEqual(2);
      expect(ended, `after ${steps}`).toBe(7);
      expect(headersOf(b), `after ${steps}`).toEqual([6, 7]);
      close(b, opened);
      expect(verify(b).problems, `after ${steps}`).toEqual([]);
      expect(unwrap(open(b)).log.usedBytes()).toBe(b.disk.usedBytes());
    }
  });

  it('removes checkpoints that are not kept, and none that comes meanwhile', () => {
    const { b, opened } = filled();
    const write = (op: number, bytes: number): CheckpointRef =>
      present(
        b.clockwork.await<CheckpointRef | null>((done) =>
          opened.log.writeCheckpoint(
            present(prepares[op - 1]).header,
            [new Uint8Array(bytes)][Symbol.iterator](),
            done,
          ),
        ),
      );
    const [, second, third] = [write(5, 10), write(10, 10), write(15, 10)];
    opened.log.trim(11 as Op, [present(second), present(third)]);
    b.clockwork.run();
    const checkpoints = (): readonly string[] => b.disk.fileNames().filter((file) => file.endsWith('.ckp'));
    expect(checkpoints()).toEqual([checkpointFile(10), checkpointFile(15)]);
    // The tenth is written anew while it is being removed: the new one stays.
    let ref: CheckpointRef | null = null;
    opened.log.writeCheckpoint(present(prepares[9]).header, [new Uint8Array(10)][Symbol.iterator](), (found) => {
      ref = found;
    });
    for (let i = 0; i < 5; i++) b.clockwork.step();
    opened.log.trim(16 as Op, [present(third)]);
    b.clockwork.run();
    expect(ref).toEqual(second);
    expect(opened.log.usedBytes()).toBe(b.disk.usedBytes());
    opened.log.trim(16 as Op, [present(third)]);
    b.clockwork.run();
    expect(checkpoints()).toEqual([checkpointFile(15)]);
  });

  it('makes room: a log that was low on space goes on by itself', () => {
    const { b, opened } = filled(1, 20);
    b.disk.faults.capacityBytes = b.disk.usedBytes();
    append(b, opened, prepares.slice(20, 21));
    append(b, opened, prepares.slice(21, 22));
    expect(opened.log.isLowOnSpace()).toBe(true);
    opened.log.trim(19 as Op, []);
    b.clockwork.run();
    append(b, opened, prepares.slice(22, 30));
    expect(opened.log.isLowOnSpace()).toBe(false);
    expect(b.fatal).toEqual([]);
  });
});

describe('a crash while trimming', () => {
  // Op 18 is the last of three in segment 6, and in the second headers file.
  const at = 18;
  const before = 22;
  const end = 24;

  for (const how of ['crash', 'kill'] as const) {
    it(`${how} after every step: nothing that was kept is lost, nothing that went is missed`, () => {
      const seen = new Set<string>();
      let quiet = false;
      for (let steps = 0; !quiet; steps++) {
        const { b, opened } = filled(500 + steps, before);
        let superblock = 0;
        const started = steps + 1;
        opened.log.trim(at as Op, []);
        opened.log.writeSuperblock(1, new Uint8Array(9000).fill(77), () => {
          superblock = 77;
        });
        let ended = 0;
        for (const prepare of prepares.slice(before, end)) {
          opened.log.append(prepare, () => {
            ended = prepare.header.op;
          });
        }
        for (let i = 0; i < steps && !quiet; i++) quiet = !b.clockwork.step();
        b.disk[how]();
        const label = `${how} after ${started}`;
        const again = unwrap(open(b));
        if (superblock !== 0) expect(again.superblock[0], label).toBe(superblock);
        const { op } = trimOf(b);
        expect([1, at], label).toContain(op);
        seen.add(`${op} ${segmentsOf(b)[0]}`);
        expect(segmentsOf(b)[0], label).toBe(op === 1 ? 1 : 6);
        expect(headersOf(b)[0], label).toBe(op === 1 ? 1 : 2);
        const recovered = recoverAbove(again, op === 1 ? 1 : op - 1);
        for (const slot of recovered.slots.slice(0, ended - op + 1)) expect(slot.state, label).toBe('durable');
        expect(recovered.head, label).toBeGreaterThanOrEqual(Math.max(before, ended));
        checkKept(b, again, Math.max(2, op), before);
        append(b, again, prepares.slice(before, end));
        checkKept(b, again, Math.max(2, op), end);
        close(b, again);
        if (steps % 4 === 0) expect(verify(b), label).toMatchObject({ problems: [], leftovers: [] });
        expect(b.fatal).toEqual([]);
      }
      expect(seen).toContain(`${at} 6`);
      // What a kill leaves is what was written, and the one sector that changes is written at once.
      if (how === 'crash') expect(seen).toContain('1 1');
    });
  }

  it('leftovers below the low end are told apart from damage above it', () => {
    const { b, opened } = filled();
    const before = b.disk.snapshot();
    opened.log.trim(trimmedAt as Op, []);
    b.clockwork.run();
    close(b, opened);
    const contents = new Map(b.disk.snapshot());
    for (const file of ['segment-00000003.wal', 'segment-00000006.wal', 'headers-00000001.wal']) {
      contents.set(file, present(before.get(file)));
    }
    const left = bench(1, {}, contents);
    expect(verify(left)).toMatchObject({ problems: [], intact: 20 });
    expect(verify(left).leftovers).toHaveLength(3);
    const again = unwrap(open(left));
    expect(segmentsOf(left)[0]).toBe(7);
    expect(headersOf(left)[0]).toBe(2);
    expect(again.log.usedBytes()).toBe(left.disk.usedBytes());

    const without = new Map(b.disk.snapshot());
    without.delete('segment-00000009.wal');
    const damaged = bench(1, {}, without);
    expect(verify(damaged).problems.map(({ kind }) => kind)).toEqual(['missing-file', 'prepare', 'prepare', 'prepare']);
    const faulty = recoverAbove(unwrap(open(damaged)), 20).slots.filter(({ state }) => state === 'faulty');
    expect(faulty.map(({ op }) => op)).toEqual([25, 26, 27]);
    without.delete('headers-00000002.wal');
    const refused = open(bench(1, {}, without));
    expect(!refused.ok && refused.error.kind).toBe('damaged');
  });

  it('a superblock of before, which says nothing of a trim, still opens', () => {
    const { b, opened } = filled(1, 20);
    close(b, opened);
    const contents = new Map(b.disk.snapshot());
    const bytes = present(contents.get('superblock'));
    for (let copy = 0; copy < 4; copy++) {
      const at = copy * 16_384;
      const header = bytes.subarray(at, at + 128);
      new DataView(bytes.buffer, bytes.byteOffset).setUint16(at + 20, 1, true);
      header.fill(0, 84);
      const id = hasher(header.subarray(16));
      for (let i = 0; i < 16; i++) bytes[at + i] = Number.parseInt(id.slice(i * 2, i * 2 + 2), 16);
    }
    const old = bench(1, {}, contents);
    expect(inspect(old).copies.every(({ state }) => state === 'intact')).toBe(true);
    expect(trimOf(old)).toEqual({ op: 1, segment: 1 });
    const again = unwrap(open(old));
    append(old, again, prepares.slice(20));
    again.log.trim(trimmedAt as Op, []);
    old.clockwork.run();
    expect(trimOf(old)).toEqual({ op: trimmedAt, segment: 7 });
    checkKept(old, again, trimmedAt);
  });
});

describe('over years', () => {
  it('the disk stays flat: forty turns of a log', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    let last: Prepare | null = null;
    let most = 0;
    for (let turn = 1; turn <= 40; turn++) {
      const more: Prepare[] = chain([300_000, 10, 300_000, 300_000, 10, 10, 300_000, 10], 0, last);
      append(b, opened, more);
      last = present(more.at(-1));
      opened.log.trim((last.header.op - 8) as Op, []);
      b.clockwork.run();
      expect(opened.log.usedBytes()).toBe(b.disk.usedBytes());
      if (turn > 4) most = Math.max(most, b.disk.usedBytes());
    }
    expect(most).toBeLessThan(8 * smallGeometry.segmentBytes);
    close(b, opened);
    expect(verify(b).problems).toEqual([]);
  });

  it('the memory of the index stays flat', () => {
    const index = new LocationIndex();
    const id = idOf(1);
    // Counted and not weighed: when the engine gives memory back is its own affair.
    const chunks = (): number => Object.values(index).reduce((n, kept) => n + (kept instanceof Map ? kept.size : 0), 0);
    let most = 0;
    for (let op = 1; op < 1_500_000; op++) {
      index.set(op, { segment: 1 + Math.floor(op / 1000), offset: 4096, lengthBytes: 200 }, id);
      if (op % 5000 !== 0) continue;
      index.dropBelow(op - 10_000);
      most = Math.max(most, chunks());
    }
    // Of 8192 ops each; kept whole there would be 183.
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(3);
    expect(index.holds(1_499_999, id)).toBe(true);
    expect(index.place(1_484_000)).toBeNull();
    expect(index.lowestSegment(1_490_000)).toBe(1491);
  });
});
