import { type CheckpointRef, type Prepare } from '@kimberlite/base';
import { checkpointFile, type Found, type OpenedLog, verifyLog, type VerifyReport } from '@kimberlite/log';
import { describe, expect, it } from 'vitest';
import type { LogError } from '../src/log-error.ts';
import type { ScrubStep } from '../src/scrubber.ts';
import {
  append,
  type Bench,
  chain,
  close,
  formatted,
  identity,
  open,
  present,
  read,
  recover,
  states,
  unwrap,
} from './harness.ts';
import type { Result } from '@kimberlite/base';

const copyBytes = 16_384;
const segment = 'segment-00000001.wal';
const headers = 'headers-00000001.wal';
/** Over several segments and headers files. */
const prepares = chain(Array.from({ length: 40 }, (_, i) => [100, 9000, 200_000, 5][i % 4] ?? 0));

function filled(): { readonly b: Bench; readonly opened: OpenedLog } {
  const b = formatted();
  const opened = unwrap(open(b));
  append(b, opened, prepares);
  return { b, opened };
}

/** From the next step to the end of the pass after the one under way: everything was read in between. */
function scrub(b: Bench, opened: OpenedLog, checkpoints: readonly CheckpointRef[] = []): readonly Found[] {
  const found: Found[] = [];
  let passes = 0;
  for (let i = 0; i < 1000 && passes < 2; i++) {
    const step = b.clockwork.await<ScrubStep>((done) => opened.log.scrub(checkpoints, done));
    found.push(...step.found);
    if (step.passEnded) passes += 1;
  }
  expect(passes).toBe(2);
  b.clockwork.run();
  return found;
}

const kinds = (found: readonly Found[]): readonly string[] => found.map(({ kind }) => kind);

function verified(b: Bench): VerifyReport {
  const result = b.clockwork.await<Result<VerifyReport, LogError>>((done) =>
    verifyLog({ ...identity, disk: b.disk, running: false, chainTo: 0 }, done),
  );
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

function placeOf(opened: Bench, prepare: Prepare): { readonly file: string; readonly offset: number } {
  for (const [file, bytes] of opened.disk.snapshot()) {
    if (!file.startsWith('segment')) continue;
    const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(prepare.bytes);
    if (at >= 0) return { file, offset: at };
  }
  throw new Error(`op ${prepare.header.op} is in no segment`);
}

describe('a record that reads as zeros', () => {
  it('is not taken for room when the log is opened, nor cleared away with what lies there', () => {
    const { b, opened } = filled();
    const last = present(prepares.at(-1));
    const { file, offset } = placeOf(b, last);
    close(b, opened);
    b.disk.replaceBytes(file, offset - 64, new Uint8Array(4096));
    const again = unwrap(open(b));
    recover(again);
    const next = present(chain([5], 0, last)[0]);
    append(b, again, [next]);
    append(b, again, [last]);
    expect(scrub(b, again)).toEqual([]);
    for (const { header } of [last, next]) expect(read(b, again, header.op, header.id)).not.toBeNull();
    close(b, again);
    expect(verified(b).problems).toEqual([]);
  });
});

describe('a scrub', () => {
  it('finds nothing where nothing is wrong, also while the log is appended to', () => {
    const { b, opened } = filled();
    expect(scrub(b, opened)).toEqual([]);
    const more = chain(
      Array.from({ length: 20 }, () => 30_000),
      0,
      present(prepares.at(-1)),
    );
    const found: Found[] = [];
    let steps = 0;
    const go = (): void =>
      opened.log.scrub([], (step) => {
        found.push(...step.found);
        if (++steps < 60) go();
      });
    go();
    for (const prepare of more) {
      opened.log.append(prepare, () => {});
      for (let i = 0; i < 7; i++) b.clockwork.step();
    }
    b.clockwork.run();
    expect([steps, found]).toEqual([60, []]);
  });

  it('writes damaged copies of the superblock, file headers and header records again', () => {
    const { b, opened } = filled();
    b.disk.flipBit('superblock', copyBytes + 50, 3);
    b.disk.flipBit('superblock', 3 * copyBytes + 200, 3);
    b.disk.flipBit(segment, 9, 1);
    b.disk.flipBit(headers, 20, 1);
    // Of op 3.
    b.disk.flipBit(headers, 4096 + 2 * 256 + 100, 5);
    const found = scrub(b, opened);
    expect(found).toMatchObject([
      { kind: 'superblock', copies: 2, mended: true },
      { kind: 'file-header', file: segment },
      { kind: 'file-header', file: headers },
      { kind: 'header-record', op: 3 },
    ]);
    expect(scrub(b, opened)).toEqual([]);
    close(b, opened);
    expect(verified(b).problems).toEqual([]);
  });

  it('a header record of another op is put right', () => {
    const { b, opened } = filled();
    const other = present(b.disk.bytesAt(headers, 4096 + 5 * 256, 256));
    b.disk.replaceBytes(headers, 4096 + 2 * 256, other);
    expect(scrub(b, opened)).toMatchObject([{ kind: 'header-record', op: 3 }]);
    close(b, opened);
    expect(verified(b).problems).toEqual([]);
  });

  for (const how of ['bit', 'torn', 'zeros', 'unreadable', 'misdirected'] as const) {
    it(`finds a prepare that is damaged (${how}), takes it anew, and leaves nothing of the damage`, () => {
      const { b, opened } = filled();
      const damaged = present(prepares[18]);
      const { file, offset } = placeOf(b, damaged);
      if (how === 'bit') b.disk.flipBit(file, offset + 1000, 2);
      if (how === 'torn') b.disk.replaceBytes(file, offset + 4096, new Uint8Array(4096));
      if (how === 'zeros') {
        const record = Math.ceil((64 + damaged.bytes.length) / 4096) * 4096;
        b.disk.replaceBytes(file, offset - 64, new Uint8Array(record));
      }
      if (how === 'unreadable') b.disk.breakSector(file, offset + 5000);
      if (how === 'misdirected') {
        const source = placeOf(b, present(prepares[2]));
        b.disk.replaceBytes(file, offset - 64, present(b.disk.bytesAt(source.file, source.offset - 64, 8192)));
      }
      const { op, id } = damaged.header;
      expect(scrub(b, opened)).toMatchObject([{ kind: 'prepare', file, op, id, mended: false }]);
      expect(read(b, opened, op, id)).toBeNull();
      append(b, opened, [damaged]);
      expect(read(b, opened, op, id)).not.toBeNull();
      expect(scrub(b, opened)).toEqual([]);
      close(b, opened);
      expect(verified(b).problems).toEqual([]);
      const again = recover(unwrap(open(b)));
      expect(states(again).every((state) => state === 'durable')).toBe(true);
    });
  }

  it('leaves nothing of what the opening found damaged, once it is here again', () => {
    const { b, opened } = filled();
    close(b, opened);
    const damaged = present(prepares[18]);
    const { file, offset } = placeOf(b, damaged);
    b.disk.flipBit(file, offset + 1000, 2);
    const again = unwrap(open(b));
    expect(states(recover(again)).filter((state) => state === 'faulty')).toHaveLength(1);
    expect(scrub(b, again)).toEqual([]);
    append(b, again, [damaged]);
    scrub(b, again);
    close(b, again);
    expect(verified(b).problems).toEqual([]);
  });

  it('names the damaged part of a checkpoint, and the manifest; writes its header block again', () => {
    const { b, opened } = filled();
    const content = Array.from({ length: 5 }, (_, i) => new Uint8Array(200_000).fill(i + 1));
    const ref = present(
      b.clockwork.await<CheckpointRef | null>((done) =>
        opened.log.writeCheckpoint(present(prepares[30]).header, content[Symbol.iterator](), done),
      ),
    );
    expect(scrub(b, opened, [ref])).toEqual([]);
    const file = checkpointFile(31);
    b.disk.flipBit(file, 30, 0);
    b.disk.flipBit(file, 4096 + 2 * 262_144 + 7, 0);
    const found = scrub(b, opened, [ref]).slice(0, 2);
    expect(found).toMatchObject([
      { kind: 'checkpoint-header', file, mended: true },
      { kind: 'checkpoint', file, part: 2, mended: false },
    ]);
    b.disk.flipBit(file, 4096 + 2 * 262_144 + 7, 0);
    expect(kinds(scrub(b, opened, [ref]))).toEqual([]);
    b.disk.flipBit(file, b.disk.sizeOf(file) - 4090, 0);
    expect(scrub(b, opened, [ref])).toContainEqual(expect.objectContaining({ kind: 'checkpoint', part: 4 }));
  });

  it('a crash at any moment of it takes nothing away', () => {
    for (let steps = 0; steps < 60; steps++) {
      const { b, opened } = filled();
      b.disk.flipBit('superblock', copyBytes + 50, 3);
      b.disk.flipBit(headers, 4096 + 2 * 256 + 100, 5);
      const go = (): void => opened.log.scrub([], go);
      go();
      for (let i = 0; i < steps; i++) b.clockwork.step();
      b.disk.crash();
      const recovered = recover(unwrap(open(b)));
      expect(states(recovered).every((state) => state === 'durable')).toBe(true);
      expect(recovered.headCertain).toBe(true);
    }
  });
});
