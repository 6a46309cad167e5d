import {
  bytesEqual,
  type CheckpointRef,
  checkpointPartBytes,
  checkpointParts,
  randomInt,
  type Result,
  seedRandom,
} from '@kimberlite/base';
import {
  checkpointFile,
  type LogError,
  type LogReader,
  openLogReader,
  type OpenedLog,
  verifyLog,
  type VerifyReport,
} from '@kimberlite/log';
import { describe, expect, it } from 'vitest';
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
  unwrap,
} from './harness.ts';

const prepares = chain([10, 20, 30]);
const header = present(prepares[1]).header;

const contentOf = (lengthBytes: number, seed = 1): Uint8Array =>
  new Uint8Array(lengthBytes).map((_, i) => (i * 31 + (i >> 8) * seed + (i >> 16) * 7 + seed) & 0xff);
/** Two whole parts and a bit, which ends within a block. */
const content = contentOf(2 * checkpointPartBytes + 9001);
const parts = checkpointParts(content.length);
const partOf = (bytes: Uint8Array, number: number): Uint8Array =>
  bytes.slice(number * checkpointPartBytes, (number + 1) * checkpointPartBytes);

/** Pieces of uneven lengths, as a writer of canonical bytes gives them. */
function* pieces(bytes: Uint8Array, lengthBytes = 70_001): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += lengthBytes) yield bytes.slice(at, at + lengthBytes);
}

const write = (b: Bench, { log }: OpenedLog, bytes = content, at = header): CheckpointRef | null =>
  b.clockwork.await((done) => log.writeCheckpoint(at, pieces(bytes), done));
const readPart = (b: Bench, { log }: OpenedLog, ref: CheckpointRef, number: number): Uint8Array | null =>
  b.clockwork.await((done) => log.readCheckpointPart(ref, number, done));
const readManifest = (b: Bench, { log }: OpenedLog, ref: CheckpointRef): Uint8Array | null =>
  b.clockwork.await((done) => log.readManifest(ref, done));
const receive = (b: Bench, { log }: OpenedLog, ref: CheckpointRef, manifest: Uint8Array): readonly number[] | null =>
  b.clockwork.await((done) => log.receiveCheckpoint(ref, manifest, done));
const store = (b: Bench, { log }: OpenedLog, ref: CheckpointRef, number: number, bytes: Uint8Array): boolean =>
  b.clockwork.await((done) => log.storeCheckpointPart(ref, number, bytes, done));

function isWhole(b: Bench, opened: OpenedLog, ref: CheckpointRef, bytes = content): boolean {
  if (readManifest(b, opened, ref) === null) return false;
  for (let number = 0; number < checkpointParts(bytes.length); number++) {
    const part = readPart(b, opened, ref, number);
    if (part === null || !bytesEqual(part, partOf(bytes, number))) return false;
  }
  return true;
}

const verify = (b: Bench, running = false): VerifyReport =>
  unwrap(b.clockwork.await((done) => verifyLog({ ...identity, disk: b.disk, running }, done)));

/** A directory with the checkpoint, and what names it. */
function written(seed = 1): { b: Bench; opened: OpenedLog; ref: CheckpointRef; manifest: Uint8Array } {
  const b = formatted(seed);
  const opened = unwrap(open(b));
  append(b, opened, prepares);
  const ref = present(write(b, opened));
  return { b, opened, ref, manifest: present(readManifest(b, opened, ref)) };
}
const source = written();

describe('writing a checkpoint', () => {
  it('gives back what was written, also after a close and an open, under a ref that the content alone decides', () => {
    const { b, opened, ref, manifest } = written(2);
    expect(ref).toEqual(source.ref);
    expect(ref.checksum).toBe(hasher(manifest));
    expect(ref.contentBytes).toBe(content.length);
    expect(isWhole(b, opened, ref)).toBe(true);
    expect(readPart(b, opened, ref, parts)).toBeNull();
    expect(readPart(b, opened, { ...ref, checksum: header.id }, 0)).toBeNull();
    close(b, opened);
    expect(verify(b)).toMatchObject({ problems: [], leftovers: [], checkpoints: [{ op: 2, ref }] });
    const again = unwrap(open(b));
    expect(isWhole(b, again, ref)).toBe(true);
    const used = [...b.disk.snapshot().values()].reduce((sum, bytes) => sum + bytes.length, 0);
    expect(again.log.usedBytes()).toBe(used);
  });

  it('takes any length of content, none too', () => {
    for (const length of [0, 1, 4096, checkpointPartBytes - 1, checkpointPartBytes, checkpointPartBytes + 1]) {
      const b = formatted();
      const opened = unwrap(open(b));
      const bytes = contentOf(length, 3);
      const ref = present(write(b, opened, bytes));
      expect(ref.contentBytes, `${length}`).toBe(length);
      expect(isWhole(b, opened, ref, bytes), `${length}`).toBe(true);
      close(b, opened);
      expect(verify(b).problems, `${length}`).toEqual([]);
    }
  });

  it('is read offline as well', () => {
    const { b, ref } = source;
    const reader = unwrap(
      b.clockwork.await<Result<LogReader, LogError>>((done) => openLogReader({ ...identity, disk: b.disk }, done)),
    );
    expect(reader.checkpoints).toEqual([ref]);
    const part = b.clockwork.await<Uint8Array | null>((done) => reader.readCheckpointPart(ref, 1, done));
    expect(bytesEqual(present(part), partOf(content, 1))).toBe(true);
  });

  it('draws no more than a part at a time', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    let drawn = 0;
    const counted = (function* (): Generator<Uint8Array> {
      for (const piece of pieces(content)) {
        drawn += piece.length;
        const onDisk = b.disk.sizeOf(`unfinished-${checkpointFile(2)}`);
        expect(drawn - onDisk).toBeLessThanOrEqual(checkpointPartBytes + 2 * piece.length);
        yield piece;
      }
    })();
    let done = false;
    opened.log.writeCheckpoint(header, counted, () => {
      done = true;
    });
    b.clockwork.run(() => done);
    expect(drawn).toBe(content.length);
  });

  for (const how of ['crash', 'kill'] as const) {
    it(`${how} after every step leaves all of it or nothing, and what was there before`, () => {
      const old = contentOf(5000, 9);
      let finished = false;
      let whole = 0;
      for (let steps = 0; !finished; steps++) {
        const b = formatted(100 + steps);
        const first = unwrap(open(b));
        append(b, first, prepares);
        const before = present(write(b, first, old, present(prepares[0]).header));
        const replaced = present(write(b, first, old));
        const box: { ref?: CheckpointRef | null } = {};
        first.log.writeCheckpoint(header, pieces(content), (ref) => {
          box.ref = ref;
        });
        for (let i = 0; i < steps; i++) if (!b.clockwork.step()) break;
        finished = box.ref !== undefined;
        b.disk[how]();
        const opened = unwrap(open(b));
        const label = `${how} after ${steps}`;
        const isNew = isWhole(b, opened, source.ref);
        whole += isNew ? 1 : 0;
        if (finished) expect(isNew, label).toBe(true);
        expect(isNew || isWhole(b, opened, replaced, old), label).toBe(true);
        expect(isWhole(b, opened, before, old), label).toBe(true);
        expect(b.disk.fileNames().filter((file) => file.startsWith('unfinished'))).toEqual([]);
        expect(verify(b).problems, label).toEqual([]);
        expect(write(b, opened), label).toEqual(source.ref);
        expect(isWhole(b, opened, source.ref), label).toBe(true);
        expect(b.fatal).toEqual([]);
      }
      expect(whole).toBeGreaterThan(0);
    });
  }

  it('without space leaves nothing of it, and the log goes on', () => {
    let refused = 0;
    const need = source.b.disk.sizeOf(checkpointFile(2));
    for (let room = 0; room <= need; room += 50_000) {
      const b = formatted();
      const opened = unwrap(open(b));
      append(b, opened, prepares.slice(0, 2));
      const before = b.disk.fileNames();
      b.disk.faults.capacityBytes = b.disk.usedBytes() + room;
      const used = opened.log.usedBytes();
      expect(write(b, opened), `room for ${room}`).toBeNull();
      refused += 1;
      expect(b.disk.fileNames()).toEqual(before);
      expect(opened.log.usedBytes()).toBe(used);
      append(b, opened, prepares.slice(2));
      b.disk.faults.capacityBytes = Number.MAX_SAFE_INTEGER;
      expect(write(b, opened)).toEqual(source.ref);
      expect(b.fatal).toEqual([]);
    }
    expect(refused).toBeGreaterThan(8);
  });

  it('a failed write or sync is final', () => {
    for (const fault of ['writeErrorChance', 'syncErrorChance'] as const) {
      const b = formatted();
      const opened = unwrap(open(b));
      b.disk.faults[fault] = 1;
      let called = false;
      opened.log.writeCheckpoint(header, pieces(content), () => {
        called = true;
      });
      b.clockwork.run();
      expect(b.fatal).toHaveLength(1);
      expect(called).toBe(false);
    }
  });

  it('a close gives up what is being written, at every step', () => {
    for (let steps = 0; steps < 20; steps++) {
      const b = formatted();
      const opened = unwrap(open(b));
      opened.log.writeCheckpoint(header, pieces(content), () => {});
      for (let i = 0; i < steps; i++) b.clockwork.step();
      close(b, opened);
      const left = b.clockwork.steps;
      b.clockwork.run();
      expect(b.clockwork.steps, 'nothing is under way after a close').toBe(left);
      const again = unwrap(open(b));
      expect(verify(b)).toMatchObject({ problems: [], leftovers: [] });
      expect(write(b, again)).toEqual(source.ref);
    }
  });
});

describe('receiving a checkpoint', () => {
  const { ref, manifest } = source;

  it('takes parts in any order, twice too, and refuses what the manifest does not say', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    expect(receive(b, opened, ref, manifest.slice(1))).toBeNull();
    expect(receive(b, opened, { ...ref, contentBytes: ref.contentBytes - 1 }, manifest)).toBeNull();
    expect(store(b, opened, ref, 0, partOf(content, 0))).toBe(false);
    expect(receive(b, opened, ref, manifest)).toEqual([0, 1, 2]);
    expect(store(b, opened, ref, 0, partOf(content, 1))).toBe(false);
    expect(store(b, opened, ref, 7, partOf(content, 1))).toBe(false);
    expect(store(b, opened, ref, 2, partOf(content, 2))).toBe(true);
    expect(store(b, opened, ref, 2, partOf(content, 2))).toBe(true);
    expect(readPart(b, opened, ref, 2)).toBeNull();
    let stored = 0;
    for (const number of [0, 1, 0, 1]) {
      opened.log.storeCheckpointPart(ref, number, partOf(content, number), (isStored) => {
        stored += isStored ? 1 : 0;
      });
    }
    b.clockwork.run();
    expect(stored).toBe(4);
    expect(isWhole(b, opened, ref)).toBe(true);
    expect(receive(b, opened, ref, manifest)).toEqual([]);
    close(b, opened);
    expect(verify(b)).toMatchObject({ problems: [], leftovers: [], checkpoints: [{ op: 2, ref }] });
  });

  it('is the same file, byte for byte, as one that was written', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    receive(b, opened, ref, manifest);
    for (let number = 0; number < parts; number++) store(b, opened, ref, number, partOf(content, number));
    const bytesOf = (disk: Bench['disk']): Uint8Array => present(disk.snapshot().get(checkpointFile(2)));
    expect(bytesEqual(bytesOf(b.disk), bytesOf(source.b.disk))).toBe(true);
  });

  for (const how of ['crash', 'kill'] as const) {
    it(`${how} after every step: parts that were stored are not asked for again`, () => {
      let finished = false;
      let resumed = 0;
      for (let steps = 0; !finished; steps++) {
        const b = formatted(300 + steps);
        const first = unwrap(open(b));
        const stored = new Set<number>();
        first.log.receiveCheckpoint(ref, manifest, (missing) => {
          for (const number of missing ?? []) {
            first.log.storeCheckpointPart(ref, number, partOf(content, number), (isStored) => {
              if (isStored) stored.add(number);
            });
          }
        });
        for (let i = 0; i < steps; i++) if (!b.clockwork.step()) break;
        finished = stored.size === parts;
        b.disk[how]();
        const label = `${how} after ${steps}`;
        const opened = unwrap(open(b));
        if (finished) expect(isWhole(b, opened, ref), label).toBe(true);
        const missing = present(receive(b, opened, ref, manifest));
        for (const number of missing) expect(stored.has(number), `${label}: part ${number}`).toBe(false);
        if (missing.length > 0 && missing.length < parts) resumed += 1;
        expect(verify(b).problems, label).toEqual([]);
        // And once more: what was found to be there is durable.
        b.disk.crash();
        const again = unwrap(open(b));
        const missingNow = present(receive(b, again, ref, manifest));
        for (const number of missingNow) expect(missing, `${label}: part ${number}`).toContain(number);
        for (const number of missingNow) expect(store(b, again, ref, number, partOf(content, number))).toBe(true);
        expect(isWhole(b, again, ref), label).toBe(true);
        close(b, again);
        expect(verify(b), label).toMatchObject({ problems: [], leftovers: [] });
        expect(b.fatal).toEqual([]);
      }
      expect(resumed).toBeGreaterThan(0);
    });
  }

  it('finds no space before the first part comes, and leaves nothing', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const before = b.disk.fileNames();
    b.disk.faults.capacityBytes = b.disk.usedBytes() + content.length;
    expect(receive(b, opened, ref, manifest)).toBeNull();
    expect(b.disk.fileNames()).toEqual(before);
    b.disk.faults.capacityBytes = Number.MAX_SAFE_INTEGER;
    expect(receive(b, opened, ref, manifest)).toEqual([0, 1, 2]);
    expect(b.fatal).toEqual([]);
  });

  it('goes over to another checkpoint, and lets go of the first', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const other = formatted();
    const peer = unwrap(open(other));
    const later = present(write(other, peer, contentOf(10, 5), present(prepares[2]).header));
    const laterManifest = present(readManifest(other, peer, later));
    receive(b, opened, ref, manifest);
    let late: boolean | null = null;
    opened.log.storeCheckpointPart(ref, 0, partOf(content, 0), (stored) => {
      late = stored;
    });
    expect(receive(b, opened, later, laterManifest)).toEqual([0]);
    expect(late).not.toBeNull();
    expect(store(b, opened, ref, 1, partOf(content, 1))).toBe(false);
    expect(store(b, opened, later, 0, contentOf(10, 5))).toBe(true);
    expect(b.disk.fileNames().filter((file) => file.endsWith('.ckp'))).toEqual([checkpointFile(3)]);
    expect(b.fatal).toEqual([]);
  });

  it('goes on to receive when an older file is to be removed meanwhile', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const { log } = opened;
    present(write(b, opened, contentOf(10, 5), present(prepares[0]).header));
    const missing = b.clockwork.await<readonly number[] | null>((done) => {
      log.receiveCheckpoint(ref, manifest, done);
      log.trim(ref.header.op, [ref]);
    });
    expect(missing).toEqual([0, 1, 2]);
    expect(store(b, opened, ref, 0, partOf(content, 0))).toBe(true);
    expect(b.disk.fileNames()).not.toContain(checkpointFile(1));
    expect(b.fatal).toEqual([]);
  });

  it('replaces a checkpoint of the same op that is another one', () => {
    const b = formatted();
    const opened = unwrap(open(b));
    const wrong = present(write(b, opened, contentOf(content.length, 8)));
    expect(receive(b, opened, ref, manifest)).toEqual([0, 1, 2]);
    expect(isWhole(b, opened, wrong, contentOf(content.length, 8))).toBe(true);
    for (let number = 0; number < parts; number++) store(b, opened, ref, number, partOf(content, number));
    expect(isWhole(b, opened, ref)).toBe(true);
    expect(readManifest(b, opened, wrong)).toBeNull();
  });
});

describe('a damaged checkpoint', () => {
  const { ref, manifest } = source;
  const sizeBytes = source.b.disk.sizeOf(checkpointFile(2));
  close(source.b, source.opened);
  const contents = source.b.disk.snapshot();
  const file = checkpointFile(2);
  const manifestAt = sizeBytes - 4096;

  function* places(): Generator<{ readonly offset: number; readonly kind: string }> {
    for (let at = 0; at < 4096; at += at < 240 ? 7 : 331) yield { offset: at, kind: 'checkpoint-header' };
    const random = seedRandom(5);
    for (let number = 0; number < parts; number++) {
      const from = 4096 + number * checkpointPartBytes;
      const length = partOf(content, number).length;
      for (const at of [0, 1, 4095, 4096, length - 1]) yield { offset: from + at, kind: 'checkpoint-part' };
      for (let i = 0; i < 6; i++) yield { offset: from + randomInt(random, 0, length - 1), kind: 'checkpoint-part' };
    }
    for (let at = 4096 + content.length; at < manifestAt; at += 97) yield { offset: at, kind: 'padding' };
    for (let at = 0; at < manifest.length; at += 3) yield { offset: manifestAt + at, kind: 'checkpoint-manifest' };
    for (let at = manifest.length; at < 4096; at += 101) yield { offset: manifestAt + at, kind: 'padding' };
  }

  it('has every flipped bit named by verify, with its place', () => {
    let checked = 0;
    for (const { offset, kind } of places()) {
      const b = bench(1, {}, contents);
      b.disk.flipBit(file, offset, checked % 8);
      const { problems } = verify(b, checked % 2 === 0);
      expect(problems, `${kind} at ${offset}`).toMatchObject([{ file, kind, op: 2 }]);
      const distance = offset - present(problems[0]).offset;
      expect(distance >= 0 && distance < checkpointPartBytes, `${offset}: ${problems[0]?.offset}`).toBe(true);
      checked += 1;
    }
    expect(checked).toBeGreaterThan(200);
  });

  it('never gives wrong bytes, never stops the node from opening, and is mended from peers', () => {
    let checked = 0;
    for (const { offset, kind } of places()) {
      if (checked++ % 4 !== 0) continue;
      const b = bench(1, {}, contents);
      b.disk.flipBit(file, offset, checked % 8);
      const opened = unwrap(open(b));
      const intact = [0, 1, 2].filter((number) => {
        const part = readPart(b, opened, ref, number);
        if (part !== null) expect(bytesEqual(part, partOf(content, number))).toBe(true);
        return part !== null;
      });
      // Header block and padding are not needed to read the rest.
      const expected = kind === 'checkpoint-part' ? 2 : kind === 'checkpoint-manifest' ? 0 : 3;
      expect(intact, `${kind} at ${offset}`).toHaveLength(expected);
      const missing = present(receive(b, opened, ref, manifest));
      expect(missing).toHaveLength(kind === 'checkpoint-part' ? 1 : 0);
      for (const number of missing) expect(store(b, opened, ref, number, partOf(content, number))).toBe(true);
      expect(isWhole(b, opened, ref)).toBe(true);
      if (kind !== 'padding') expect(verify(b).problems).toEqual([]);
      b.disk.crash();
      expect(isWhole(b, unwrap(open(b)), ref)).toBe(true);
    }
  });

  it('with sectors that cannot be read is the same', () => {
    for (const offset of [0, 4096, 4096 + checkpointPartBytes + 5000, manifestAt]) {
      const b = bench(1, {}, contents);
      b.disk.breakSector(file, offset);
      expect(verify(b).problems).toHaveLength(1);
      const opened = unwrap(open(b));
      const missing = present(receive(b, opened, ref, manifest));
      for (const number of missing) store(b, opened, ref, number, partOf(content, number));
      expect(isWhole(b, opened, ref), `${offset}`).toBe(true);
      expect(verify(b).problems).toEqual([]);
    }
  });

  it('cut short, or another one under its name, is not taken for it', () => {
    const shorter = new Map(contents).set(file, present(contents.get(file)).slice(0, sizeBytes - 4096));
    const b = bench(1, {}, shorter);
    expect(verify(b).problems).toMatchObject([{ file, kind: 'size' }]);
    const opened = unwrap(open(b));
    expect(readManifest(b, opened, ref)).toBeNull();
    expect(readPart(b, opened, ref, 0)).toBeNull();
    const moved = new Map(contents).set(checkpointFile(3), present(contents.get(file)));
    moved.delete(file);
    expect(verify(bench(1, {}, moved)).problems).toMatchObject([
      { file: checkpointFile(3), kind: 'checkpoint-header' },
    ]);
  });
});
