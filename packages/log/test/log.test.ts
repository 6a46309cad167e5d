import { bytesEqual, type Prepare, prepareBodyBytesMax, replicaId } from '@kimberlite/base';
import { formatLog, type OpenedLog } from '@kimberlite/log';
import { describe, expect, it } from 'vitest';
import {
  append,
  bench,
  chain,
  close,
  cluster,
  format,
  formatted,
  identity,
  open,
  present,
  read,
  recover,
  smallGeometry,
  states,
  unwrap,
} from './harness.ts';

const expectRead = (b: ReturnType<typeof bench>, opened: OpenedLog, p: Prepare): void => {
  const found = read(b, opened, p.header.op, p.header.id);
  expect(found !== null && bytesEqual(found.bytes, p.bytes), `op ${p.header.op}`).toBe(true);
};

describe('round trip', () => {
  it('gives back what was appended, after a close and an open', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    expect([...opened.superblock]).toEqual([1, 2, 3]);
    expect(recover(opened)).toEqual({ slots: [], head: 0, headCertain: true });
    const prepares = chain([0, 10, 5000, prepareBodyBytesMax, 3, prepareBodyBytesMax, 100_000]);
    append(b, opened, prepares);
    for (const p of prepares) expectRead(b, opened, p);
    expect(read(b, opened, 3, present(prepares[0]).header.id)).toBeNull();
    expect(read(b, opened, 99, present(prepares[0]).header.id)).toBeNull();
    close(b, opened);
    const again = unwrap(open(b));
    const recovered = recover(again);
    expect(recovered.head).toBe(7);
    expect(recovered.headCertain).toBe(true);
    expect(states(recovered)).toEqual(prepares.map(() => 'durable'));
    expect(recovered.slots.map((slot) => slot.header)).toEqual(prepares.map((p) => p.header));
    for (const p of prepares) expectRead(b, again, p);
    expect(b.fatal).toEqual([]);
  });

  it('crosses segment and headers files without a gap', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const prepares = chain(Array.from({ length: 60 }, (_, i) => (i * 9973) % 90_000));
    append(b, opened, prepares);
    close(b, opened);
    expect(b.disk.snapshot().size).toBeGreaterThan(6);
    expect(opened.log.usedBytes()).toBe(b.disk.usedBytes());
    const again = unwrap(open(b));
    expect(states(recover(again))).toEqual(prepares.map(() => 'durable'));
    append(b, again, chain([7], 0, prepares.at(-1) ?? null));
  });

  it('keeps the newest superblock and its sequence across boots', () => {
    const b = formatted();
    for (let boot = 0; boot < 3; boot++) {
      const opened = unwrap(open(b));
      expect(opened.superblock[0]).toBe(boot === 0 ? 1 : 50 + boot - 1);
      for (const [i, value] of [9, 50 + boot].entries()) {
        b.clockwork.await<void>((done) => opened.log.writeSuperblock(i, new Uint8Array([value]), () => done()));
      }
      close(b, opened);
    }
  });
});

describe('superblock', () => {
  it('found new in one copy only is written to all before the open ends (pitfall 62)', () => {
    for (let copy = 0; copy < 4; copy++) {
      const b = formatted();
      const opened = unwrap(open(b));
      const contents = b.disk.snapshot();
      b.clockwork.await<void>((done) => opened.log.writeSuperblock(1, new Uint8Array([77]), () => done()));
      const only = present(b.disk.snapshot().get('superblock')).slice(copy * 16_384, (copy + 1) * 16_384);
      present(contents.get('superblock')).set(only, copy * 16_384);
      const cut = bench(copy + 1, {}, contents);
      expect(unwrap(open(cut)).superblock[0]).toBe(77);
      cut.disk.crash();
      cut.disk.flipBit('superblock', copy * 16_384 + 30, 0);
      expect(unwrap(open(cut)).superblock[0]).toBe(77);
    }
  });
});

describe('group commit', () => {
  it('serves everything that waits with one sync of each file', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    append(b, opened, chain([1]));
    const before = b.disk.completed['sync'] ?? 0;
    const more = chain(
      Array.from({ length: 8 }, () => 100),
      0,
      chain([1])[0] ?? null,
    );
    append(b, opened, more);
    // The first starts alone, the other seven share: two syncs of bodies, two of header records; and the next segment's.
    expect((b.disk.completed['sync'] ?? 0) - before).toBeLessThanOrEqual(5);
  });

  it('completes an append of what it holds already without writing it again', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const prepares = chain([100, 100]);
    append(b, opened, prepares);
    close(b, opened);
    const again = unwrap(open(b));
    recover(again);
    const before = b.disk.snapshot();
    append(b, again, prepares);
    for (const [file, bytes] of b.disk.snapshot())
      expect(bytesEqual(bytes, present(before.get(file))), file).toBe(true);
  });

  it('lets two appends of one op complete in order, the later one counting', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const [first] = chain([100]);
    const [second] = chain([100], 1);
    const order: string[] = [];
    opened.log.append(present(first), () => order.push('first'));
    opened.log.append(present(second), () => order.push('second'));
    b.clockwork.run();
    expect(order).toEqual(['first', 'second']);
    expect(read(b, opened, 1, present(second).header.id)).not.toBeNull();
    expect(read(b, opened, 1, present(first).header.id)).toBeNull();
  });
});

describe('failures are final', () => {
  it.each(['syncErrorChance', 'writeErrorChance'] as const)('%s: told once, nothing completes afterwards', (fault) => {
    const b = formatted();
    const opened = unwrap(open(b));
    b.disk.faults[fault] = 1;
    let completed = 0;
    for (const prepare of chain([1, 2, 3])) opened.log.append(prepare, () => completed++);
    opened.log.writeSuperblock(1, new Uint8Array(1), () => completed++);
    b.clockwork.run();
    b.disk.faults[fault] = 0;
    opened.log.append(present(chain([1])[0]), () => completed++);
    b.clockwork.run();
    expect(completed).toBe(0);
    expect(b.fatal).toHaveLength(1);
  });

  it('a full disk is noted ahead of need; an append that needs the space waits for it and harms nothing', () => {
    const b = formatted();
    const told: boolean[] = [];
    const opened = unwrap(open(b, {}, (full) => told.push(full)));
    b.disk.faults.capacityBytes = b.disk.usedBytes() + 4096;
    const [first, fits, doesNot, behind] = chain([1000, 1000, 900_000, 900_000]);
    append(b, opened, [present(first)]);
    expect(opened.log.isLowOnSpace()).toBe(true);
    let completed = 0;
    opened.log.append(present(fits), () => completed++);
    b.clockwork.run();
    expect(completed).toBe(1);
    expect([opened.log.isFull(), told]).toEqual([false, []]);
    opened.log.append(present(doesNot), () => completed++);
    opened.log.append(present(behind), () => completed++);
    b.clockwork.run();
    // Whichever of the two did not fit waits.
    expect(completed).toBe(2);
    expect([opened.log.isFull(), told]).toEqual([true, [true]]);
    expect(opened.log.waitingBytes()).toBeGreaterThan(900_000);
    opened.log.tryAgain();
    b.clockwork.run();
    expect([opened.log.isFull(), told]).toEqual([true, [true]]);
    expect(read(b, opened, 2, present(fits).header.id)).toEqual(present(fits));
    // Nothing of the file that found no room is left, so that something smaller may.
    expect(b.disk.fileNames().filter((file) => file.startsWith('unfinished'))).toEqual([]);
    b.disk.faults.capacityBytes = Number.MAX_SAFE_INTEGER;
    opened.log.tryAgain();
    b.clockwork.run();
    expect([completed, opened.log.isFull(), told]).toEqual([3, false, [true, false]]);
    expect([opened.log.waitingBytes(), b.fatal]).toEqual([0, []]);
    close(b, opened);
    expect(states(recover(unwrap(open(b))))).toEqual(['durable', 'durable', 'durable', 'durable']);
  });

  it('a quota of which the file system does not tell is met in the middle of a file, and nothing of it stays', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    b.disk.faults.capacityUntold = true;
    b.disk.faults.capacityBytes = b.disk.usedBytes() + 4096;
    let completed = 0;
    for (const prepare of chain([900_000, 900_000])) opened.log.append(prepare, () => completed++);
    b.clockwork.run();
    expect([completed, opened.log.isFull()]).toEqual([1, true]);
    expect(b.disk.fileNames().filter((file) => file.startsWith('unfinished'))).toEqual([]);
    expect(b.fatal).toEqual([]);
  });

  it('is closed while an append waits for room: it never completes, and nothing of it is there', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    b.disk.faults.capacityBytes = b.disk.usedBytes();
    let completed = 0;
    for (const prepare of chain([900_000, 900_000])) opened.log.append(prepare, () => completed++);
    b.clockwork.run();
    close(b, opened);
    expect(completed).toBe(1);
    expect(states(recover(unwrap(open(b))))).toEqual(['durable']);
  });
});

describe('opening', () => {
  const kind = (b: ReturnType<typeof bench>, over = {}): string => {
    const result = open(b, over);
    return result.ok ? 'ok' : result.error.kind;
  };

  it('names what is wrong with a directory', () => {
    expect(kind(bench())).toBe('not-formatted');
    const b = formatted();
    expect(kind(b)).toBe('ok');
    expect(kind(b, { replica: replicaId(2) })).toBe('foreign-replica');
    expect(kind(b, { cluster: cluster.replace('0', 'f') })).toBe('foreign-cluster');
    const again = format(b);
    expect(again.ok ? '' : again.error.kind).toBe('already-formatted');
    for (let copy = 0; copy < 4; copy++) b.disk.flipBit('superblock', copy * 16_384 + 20, 3);
    expect(kind(b)).toBe('damaged');
  });

  it('refuses when a file is missing, short or of another replica', () => {
    const contents = formatted().disk.snapshot();
    const without = new Map(contents);
    without.delete('headers-00000001.wal');
    expect(kind(bench(1, {}, without))).toBe('damaged');
    const short = new Map(contents);
    short.set('segment-00000001.wal', new Uint8Array(4096));
    expect(kind(bench(1, {}, short))).toBe('damaged');
    const foreign = new Map(contents);
    foreign.set('segment-00000002.wal', present(contents.get('segment-00000001.wal')));
    expect(kind(bench(1, {}, foreign))).toBe('damaged');
  });

  it('finishes an interrupted format, and never formats over a log', () => {
    for (let steps = 0; steps < 60; steps++) {
      const b = bench(steps + 1);
      let finished = false;
      formatInSteps(b, steps, () => {
        finished = true;
      });
      b.disk.crash();
      const state = kind(b);
      if (finished) expect(state).toBe('ok');
      if (state !== 'ok') {
        expect(state).toBe('not-formatted');
        unwrap(format(b));
        expect(kind(b)).toBe('ok');
      }
    }
    const b = formatted();
    const opened = unwrap(open(b));
    append(b, opened, chain([10]));
    const contents = b.disk.snapshot();
    contents.delete('superblock');
    const again = format(bench(1, {}, contents));
    expect(again.ok ? '' : again.error.kind).toBe('already-formatted');
  });
});

function formatInSteps(b: ReturnType<typeof bench>, steps: number, done: () => void): void {
  formatLog({ ...identity, disk: b.disk, superblock: new Uint8Array(3), geometry: smallGeometry }, (result) => {
    if (result.ok) done();
  });
  for (let i = 0; i < steps; i++) b.clockwork.step();
}
