import { bytesEqual, type Op, type Prepare, type Result, type View } from '@kimberlite/base';
import { type LogError, listLog } from '@kimberlite/log';
import { describe, expect, it } from 'vitest';
import {
  append,
  type Bench,
  bench,
  chain,
  identity,
  open,
  read,
  recover,
  smallGeometry,
  format,
  unwrap,
} from './harness.ts';

// Everything a replica does to its log, interrupted after every single completion of the disk.

const prepares = chain([10, 5000, 300, 300, 700_000, 20, 20, 600_000, 1, 1, 1, 4096, 3, 9, 5, 5, 5]);
const superblocks = 3;

interface Acknowledged {
  readonly ops: Set<number>;
  superblock: number;
  started: number;
}

/** Appends in bursts of four, and superblock writes in between, as far as `steps` completions get. */
function work(b: Bench, steps: number): Acknowledged {
  const acknowledged: Acknowledged = { ops: new Set(), superblock: 0, started: 0 };
  const opened = open(b);
  if (!opened.ok) throw new Error(opened.error.message);
  const { log, recover: recoverLog } = opened.value;
  recoverLog({ view: 0 as View, logView: 0 as View, suffix: [] });
  let next = 0;
  const more = (): void => {
    while (next < prepares.length && next - acknowledged.ops.size < 4) {
      const prepare = prepares[next++] as Prepare;
      log.append(prepare, () => {
        acknowledged.ops.add(prepare.header.op);
        more();
      });
    }
  };
  const writeSuperblock = (value: number): void => {
    if (value > superblocks) return;
    acknowledged.started = value;
    // Over many sectors, so that a torn copy is seen for one.
    log.writeSuperblock(value, new Uint8Array(9000).fill(100 + value), () => {
      acknowledged.superblock = value;
      writeSuperblock(value + 1);
    });
  };
  more();
  writeSuperblock(1);
  for (let i = 0; i < steps; i++) if (!b.clockwork.step()) break;
  return acknowledged;
}

/** Without its header record, a later loss of a prepare would be taken for a write that was cut off. */
function checkRecorded(b: Bench, acknowledged: Acknowledged, context: string): void {
  const recorded = new Set<number>();
  unwrap(
    b.clockwork.await<Result<void, LogError>>((done) =>
      listLog({ ...identity, disk: b.disk }, (op, header) => header.state === 'header' && recorded.add(op), done),
    ),
  );
  for (const op of acknowledged.ops) expect(recorded.has(op), `${context}: header record of op ${op}`).toBe(true);
}

function checkRecovered(b: Bench, acknowledged: Acknowledged, context: string): number {
  const opened = unwrap(open(b));
  // A crash may come between the acknowledgement and the record; opening mends that before anything else happens.
  checkRecorded(b, acknowledged, context);
  const value = opened.superblock[0] === 1 ? 0 : (opened.superblock[0] ?? 0) - 100;
  expect(value >= acknowledged.superblock && value <= acknowledged.started, `${context}: superblock ${value}`).toBe(
    true,
  );
  const recovered = recover(opened);
  expect(recovered.headCertain, context).toBe(true);
  for (const slot of recovered.slots) expect(slot.state, `${context}: op ${slot.op}`).not.toBe('faulty');
  for (const op of acknowledged.ops) {
    expect(recovered.slots[op - 1], `${context}: op ${op}`).toMatchObject({ state: 'durable', op });
  }
  for (const slot of recovered.slots) {
    if (slot.state !== 'durable' || slot.id === null) continue;
    const found = read(b, opened, slot.op, slot.id);
    expect(found !== null && bytesEqual(found.bytes, prepares[slot.op - 1]?.bytes ?? new Uint8Array(0)), context).toBe(
      true,
    );
  }
  return recovered.head;
}

describe('a crash after every step', () => {
  for (const how of ['crash', 'kill'] as const) {
    it(`${how}: nothing acknowledged is lost, nothing is faulty, the head is certain`, () => {
      let finished = false;
      let cut = 0;
      for (let steps = 0; !finished; steps++) {
        const b = bench(1000 + steps);
        unwrap(format(b));
        const acknowledged = work(b, steps);
        finished = acknowledged.ops.size === prepares.length && acknowledged.superblock === superblocks;
        b.disk[how]();
        const head = checkRecovered(b, acknowledged, `${how} after ${steps}`);
        if (head > acknowledged.ops.size) cut += 1;
        // And once more without warning, right after the open: what was found is durable now.
        b.disk.crash();
        expect(checkRecovered(b, acknowledged, `${how} after ${steps}, again`)).toBe(head);
      }
      expect(cut).toBeGreaterThan(0);
    });
  }

  it('goes on behind what a crash left, many times over', () => {
    // One prepare an op, as in one view: what lies above a hole links to just what is appended into it.
    const ofView = chain(Array.from({ length: 60 }, (_, i) => [100, 9000, 200_000, 5, 5, 5][i % 6] ?? 0));
    for (let seed = 1; seed <= 20; seed++) {
      const b = bench(seed);
      unwrap(format(b));
      const durable: Prepare[] = [];
      for (let boot = 0; boot < 8; boot++) {
        const opened = unwrap(open(b));
        const recovered = recover(opened);
        expect(recovered.headCertain).toBe(true);
        expect(recovered.slots.every((slot) => slot.state !== 'faulty')).toBe(true);
        for (const prepare of durable) {
          expect(recovered.slots[prepare.header.op - 1]).toMatchObject({ state: 'durable', id: prepare.header.id });
        }
        // The undecided end is appended again, as a replica does that finds it missing.
        let left = 0;
        for (const slot of recovered.slots) {
          const prepare = slot.header;
          if (slot.state === 'durable' && prepare !== null && slot.op === durable.length + 1) {
            const found = read(b, opened, slot.op, prepare.id);
            expect(found).not.toBeNull();
            if (found !== null) durable.push(found);
          }
        }
        for (const prepare of ofView.slice(durable.length, durable.length + 6)) {
          left += 1;
          opened.log.append(prepare, () => {
            left -= 1;
            if (prepare.header.op === durable.length + 1) durable.push(prepare);
          });
        }
        const steps = (seed * 13 + boot * 7) % 40;
        for (let i = 0; i < steps && left > 0; i++) b.clockwork.step();
        b.disk.crash();
      }
    }
  });

  it('loses nothing when a whole headers file and segment were begun', () => {
    const b = bench(5);
    unwrap(format(b, undefined, smallGeometry));
    const opened = unwrap(open(b));
    append(b, opened, prepares);
    b.disk.crash();
    const recovered = recover(unwrap(open(b)));
    expect(recovered.head).toBe(prepares.length as Op);
  });
});
