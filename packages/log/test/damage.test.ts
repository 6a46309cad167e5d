import { type Prepare, randomInt, seedRandom } from '@kimberlite/base';
import { type VerifyReport, verifyLog } from '@kimberlite/log';
import { describe, expect, it } from 'vitest';
import { append, bench, chain, close, type Bench, formatted, identity, open, recover, unwrap } from './harness.ts';

// One flipped bit at a time: `verify` names it, and a restart never takes rot for a write that was cut off.

const prepares = chain([10, 0, 5000, 300, 100, 64]);
const blocks = [1, 1, 2, 1, 1, 1];
const usedSegmentBytes = 4096 * (1 + blocks.reduce((a, b) => a + b, 0));

function contentsOf(): ReadonlyMap<string, Uint8Array> {
  const b = formatted();
  const opened = unwrap(open(b));
  append(b, opened, prepares);
  close(b, opened);
  return b.disk.snapshot();
}
const contents = contentsOf();

const verify = (b: Bench, running = false): VerifyReport =>
  unwrap(
    b.clockwork.await((done) => verifyLog({ ...identity, disk: b.disk, running, chainTo: prepares.length }, done)),
  );

/** Every place a byte of which means something, at small steps, and places anywhere else. */
function* places(): Generator<{ readonly file: string; readonly offset: number }> {
  for (let copy = 0; copy < 4; copy++) {
    for (let at = 0; at < 140; at += copy === 0 ? 5 : 23) yield { file: 'superblock', offset: copy * 16_384 + at };
  }
  for (let at = 0; at < 60; at += 5) yield { file: 'headers-00000001.wal', offset: at };
  for (let at = 0; at < 8 * 256; at += 13) yield { file: 'headers-00000001.wal', offset: 4096 + at };
  for (let at = 0; at < 60; at += 5) yield { file: 'segment-00000001.wal', offset: at };
  for (let at = 4096; at < usedSegmentBytes + 4096; at += at % 4096 < 400 ? 13 : 397) {
    yield { file: 'segment-00000001.wal', offset: at };
  }
  const random = seedRandom(99);
  for (const [file, bytes] of contents) {
    for (let i = 0; i < 12; i++) yield { file, offset: randomInt(random, 0, bytes.length - 1) };
  }
}

const flipped = (place: { file: string; offset: number }, bit: number): Bench => {
  const b = bench(1, {}, contents);
  b.disk.flipBit(place.file, place.offset, bit);
  return b;
};

describe('verify', () => {
  it('finds nothing in a log that was closed, also one of many boots and files', () => {
    expect(verify(bench(1, {}, contents))).toMatchObject({ problems: [], highest: 6, intact: 6, unfinished: [] });
    const b = formatted();
    let last: Prepare | null = null;
    for (let boot = 0; boot < 5; boot++) {
      const opened = unwrap(open(b));
      const more: Prepare[] = chain([10, 300_000, 5, 400_000, 0, 7], 0, last);
      append(b, opened, more);
      last = more.at(-1) ?? null;
      close(b, opened);
    }
    expect(verify(b)).toMatchObject({ problems: [], highest: 30, intact: 30 });
  });

  it('names every flipped bit, with its file and near its place', () => {
    let checked = 0;
    for (const place of places()) {
      const b = flipped(place, checked % 8);
      const { problems } = verify(b);
      const label = `${place.file} ${place.offset}`;
      expect(problems, label).toHaveLength(1);
      const problem = problems[0];
      expect(problem?.file, label).toBe(place.file);
      const distance = place.offset - (problem?.offset ?? 0);
      expect(distance >= 0 && distance < 16_384, `${label}: named at ${problem?.offset}`).toBe(true);
      checked += 1;
    }
    expect(checked).toBeGreaterThan(400);
  });

  it('also beside a running node, except in what such a node may be writing', () => {
    let checked = 0;
    for (const place of places()) {
      if (checked++ % 5 !== 0) continue;
      if (place.file.startsWith('segment') && place.offset >= usedSegmentBytes) continue;
      expect(verify(flipped(place, 1), true).problems.length, `${place.file} ${place.offset}`).toBe(1);
    }
  });

  it('reports no problem at any moment while a log is written, nor after a crash', () => {
    for (let steps = 0; steps < 60; steps += 2) {
      const b = formatted(steps + 1);
      const opened = unwrap(open(b));
      for (const prepare of prepares) opened.log.append(prepare, () => {});
      for (let i = 0; i < steps; i++) b.clockwork.step();
      expect(verify(b, true).problems, `after ${steps}`).toEqual([]);
      b.disk.crash();
      unwrap(open(b));
      expect(verify(b).problems, `after a crash at ${steps} and a start`).toEqual([]);
    }
  });

  it('names a missing and a short file', () => {
    const without = new Map(contents);
    without.delete('segment-00000001.wal');
    expect(verify(bench(1, {}, without)).problems.map((p) => p.kind)).toContain('missing-file');
    const short = new Map(contents);
    short.set('segment-00000001.wal', new Uint8Array(8192));
    expect(verify(bench(1, {}, short)).problems.map((p) => p.kind)).toContain('size');
  });
});

describe('rot', () => {
  it('of any one bit never makes an acknowledged op look as if it had never been here', () => {
    let faulty = 0;
    let checked = 0;
    for (const place of places()) {
      const b = flipped(place, checked++ % 8);
      const label = `${place.file} ${place.offset}`;
      const recovered = recover(unwrap(open(b)));
      for (const prepare of prepares) {
        const slot = recovered.slots[prepare.header.op - 1];
        if (slot === undefined) expect(recovered.headCertain, label).toBe(false);
        else expect(['durable', 'faulty'], `${label}: op ${prepare.header.op}`).toContain(slot.state);
        if (slot?.state === 'faulty') faulty += 1;
      }
    }
    expect(faulty).toBeGreaterThan(10);
  });

  it('of a header record alone is repaired from the prepare, and stays repaired', () => {
    const b = flipped({ file: 'headers-00000001.wal', offset: 4096 + 2 * 256 + 20 }, 0);
    expect(verify(b).problems).toMatchObject([{ kind: 'header-record', op: 3 }]);
    expect(recover(unwrap(open(b))).slots.every((slot) => slot.state === 'durable')).toBe(true);
    b.disk.crash();
    expect(verify(b).problems).toEqual([]);
  });

  it('of a prepare is faulty with its header known, and gone once it is appended again', () => {
    const b = flipped({ file: 'segment-00000001.wal', offset: 4096 * 3 + 700 }, 0);
    const opened = unwrap(open(b));
    const slot = recover(opened).slots[2];
    expect(slot).toMatchObject({ state: 'faulty', id: prepares[2]?.header.id, header: prepares[2]?.header });
    append(b, opened, [prepares[2] as Prepare]);
    b.disk.crash();
    expect(recover(unwrap(open(b))).slots.every((s) => s.state === 'durable')).toBe(true);
    expect(verify(b).problems).toEqual([]);
  });

  it('an unreadable sector costs what is in it and no more', () => {
    const b = bench(1, {}, contents);
    b.disk.breakSector('segment-00000001.wal', 4096 * 4);
    b.disk.breakSector('superblock', 16_384);
    b.disk.breakSector('headers-00000001.wal', 4096);
    const states = recover(unwrap(open(b))).slots.map((slot) => slot.state);
    expect(states).toEqual(['durable', 'durable', 'faulty', 'durable', 'durable', 'durable']);
  });

  it('a header and its prepare both gone: faulty, or at the head undecided', () => {
    const both = (op: number): Bench => {
      const b = bench(1, {}, contents);
      const block = 1 + blocks.slice(0, op - 1).reduce((a, n) => a + n, 0);
      b.disk.flipBit('headers-00000001.wal', 4096 + (op - 1) * 256 + 5, 1);
      b.disk.flipBit('segment-00000001.wal', block * 4096 + 5, 1);
      return b;
    };
    const middle = recover(unwrap(open(both(4))));
    expect(middle.slots[3]).toMatchObject({ state: 'faulty', id: prepares[3]?.header.id, header: null });
    expect(middle.headCertain).toBe(true);
    const last = recover(unwrap(open(both(6))));
    expect(last.head).toBe(5);
    expect(last.headCertain).toBe(false);
  });

  it('between the acknowledgement and the header record, and with a crash, is taken for a torn write; afterwards never', () => {
    const stateAfter = (settle: boolean): string | undefined => {
      const b = formatted();
      const opened = unwrap(open(b));
      let acknowledged = false;
      opened.log.append(prepares[0] as Prepare, () => {
        acknowledged = true;
      });
      b.clockwork.run(() => acknowledged && !settle);
      expect(acknowledged).toBe(true);
      b.disk.flipBit('segment-00000001.wal', 4096 + 150, 0);
      b.disk.crash();
      return recover(unwrap(open(b))).slots[0]?.state;
    };
    // The price of an acknowledgement after one sync, and its bound: nothing is left of it once the record is durable.
    expect(stateAfter(false)).toBeUndefined();
    expect(stateAfter(true)).toBe('faulty');
  });

  it('a misdirected or lost write is never taken for the acknowledged prepare', () => {
    for (const fault of ['misdirectedWriteChance', 'lostWriteChance'] as const) {
      for (let seed = 1; seed <= 30; seed++) {
        const b = formatted(seed);
        const opened = unwrap(open(b));
        append(b, opened, prepares.slice(0, 3));
        b.disk.faults[fault] = 0.2;
        append(b, opened, prepares.slice(3));
        b.disk.faults[fault] = 0;
        b.disk.crash();
        const again = open(b);
        if (!again.ok) continue;
        for (const slot of recover(again.value).slots) {
          if (slot.state === 'durable') expect(slot.id).toBe(prepares[slot.op - 1]?.header.id);
        }
      }
    }
  });
});
