import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Acquaintances } from '../src/acquaintances.ts';
import { RecordingJournal } from './records.ts';

const directory = mkdtempSync(join(tmpdir(), 'kimberlite-acquaintances-'));
afterAll(() => rmSync(directory, { recursive: true }));

const open = (): Acquaintances => new Acquaintances(directory, new RecordingJournal());

it('a view that went back is told apart from a later machine, and is remembered across restarts', async () => {
  const first = open();
  expect(first.problem(2, { incarnation: 0, view: 0 })).toBe(null);
  first.heard(2, { incarnation: 0, view: 4 });
  first.heard(2, { incarnation: 0, view: 9 });
  first.heard(2, { incarnation: 0, view: 7 });
  expect(first.problem(2, { incarnation: 0, view: 9 })).toBe(null);
  expect(first.problem(2, { incarnation: 0, view: 8 })).toMatch(/kimberlite recover/);
  expect(first.problem(1, { incarnation: 0, view: 0 })).toBe(null);
  await first.close();

  const again = open();
  expect(again.problem(2, { incarnation: 0, view: 0 })).toMatch(/view 0, it was in 9/);
  // Table H gave it a view of its own, which need not be above every one that the lost machine was in.
  expect(again.problem(2, { incarnation: 1, view: 6 })).toBe(null);
  again.heard(2, { incarnation: 1, view: 6 });
  expect(again.problem(2, { incarnation: 0, view: 12 })).toMatch(/another machine/);
  await again.close();
});

it('a flipped bit anywhere makes it begin anew, and shuts nobody out', async () => {
  const one = open();
  one.heard(2, { incarnation: 0, view: 3 });
  await one.close();
  const path = join(directory, 'peers.json');
  const bytes = readFileSync(path);
  for (let at = 0; at < bytes.length * 8; at++) {
    const flipped = Buffer.from(bytes);
    flipped.writeUInt8(flipped.readUInt8(at >> 3) ^ (1 << (at & 7)), at >> 3);
    writeFileSync(path, flipped);
    expect(open().problem(2, { incarnation: 0, view: 3 })).toBe(null);
  }
});

it.each(['', '{', '[1]', '{"checksum":"","replicas":[{"incarnation":-1,"view":0}]}', '{"length":3}'])(
  'begins anew from a damaged file: %s',
  (text) => {
    writeFileSync(join(directory, 'peers.json'), text);
    expect(open().problem(2, { incarnation: 0, view: 0 })).toBe(null);
  },
);
