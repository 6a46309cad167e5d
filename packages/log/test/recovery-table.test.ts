import { type Op, type View } from '@kimberlite/base';
import { describe, expect, it } from 'vitest';
import { aboveRows, type Seen, type SeenAbove, wantedRows } from '../src/recovery-table.ts';
import { append, chain, formatted, open, present, read, recover, states, unwrap } from './harness.ts';

describe('table D', () => {
  it('has exactly one row for each pair of header record and body', () => {
    const seen: readonly Seen[] = ['none', 'bad', 'wanted', 'other'];
    const above: readonly SeenAbove[] = ['none', 'bad', 'current', 'other'];
    for (const h of seen) {
      for (const b of seen) {
        expect(
          wantedRows.filter((row) => row.header.includes(h) && row.body.includes(b)),
          `${h} ${b}`,
        ).toHaveLength(1);
      }
    }
    for (const h of above) {
      for (const b of above) {
        expect(
          aboveRows.filter((row) => row.header.includes(h) && row.body.includes(b)),
          `${h} ${b}`,
        ).toHaveLength(1);
      }
    }
  });

  const cutAt = (offset: number): ReturnType<typeof formatted> => {
    const b = formatted();
    append(b, unwrap(open(b)), chain([1, 1, 1, 1, 1]));
    b.disk.flipBit('segment-00000001.wal', offset, 0);
    return b;
  };

  it('goes past a hole: ops above a damaged one are still the log', () => {
    const recovered = recover(unwrap(open(cutAt(3 * 4096 + 100))));
    expect(states(recovered)).toEqual(['durable', 'durable', 'faulty', 'durable', 'durable']);
    expect(recovered.head).toBe(5);
  });

  it('an unsettled log ends with its frozen suffix; what lies higher is ignored', () => {
    const b = formatted();
    const prepares = chain([1, 1, 1, 1, 1]);
    append(b, unwrap(open(b)), prepares);
    const recovered = recover(unwrap(open(b)), { view: 2, logView: 0, suffix: prepares.slice(1, 3) });
    expect(states(recovered)).toEqual(['durable', 'durable', 'durable']);
    expect(recovered).toMatchObject({ head: 3, headCertain: true });
  });

  it('above a settled suffix only prepares of the log view count', () => {
    const b = formatted();
    const old = chain([1, 1, 1, 1, 1]);
    append(b, unwrap(open(b)), old);
    // View 1 was installed with two ops and has prepared a third; ops 4 and 5 of view 0 were dropped.
    const third = chain([9], 1, old[1] ?? null);
    append(b, unwrap(open(b)), third);
    const recovered = recover(unwrap(open(b)), { view: 1, suffix: old.slice(0, 2) });
    expect(recovered.head).toBe(3);
    expect(recovered.slots.map((slot) => slot.id)).toEqual([...old.slice(0, 2), ...third].map((p) => p.header.id));
    expect(states(recovered)).toEqual(['durable', 'durable', 'durable']);
  });

  it('what the suffix wants and another view wrote over is missing, and may be nacked', () => {
    const b = formatted();
    const old = chain([1, 1, 1]);
    append(b, unwrap(open(b)), old);
    const replaced = chain([5, 5], 1, old[0] ?? null);
    const opened = unwrap(open(b));
    const recovered = recover(opened, { view: 1, suffix: [old[0], ...replaced].flatMap((p) => (p ? [p] : [])) });
    expect(states(recovered)).toEqual(['durable', 'missing', 'missing']);
    expect(recovered.slots[2]?.header).toEqual(replaced[1]?.header);
    append(b, opened, replaced);
    const again = unwrap(open(b));
    expect(states(recover(again, { view: 1, suffix: replaced }))).toEqual(['durable', 'durable', 'durable']);
    expect(read(b, again, 2, present(old[1]).header.id)).toBeNull();
  });

  it('below a broken chain nothing is claimed', () => {
    const b = formatted();
    append(b, unwrap(open(b)), chain([1, 1, 1, 1]));
    b.disk.flipBit('segment-00000001.wal', 3 * 4096 + 5, 0);
    b.disk.flipBit('headers-00000001.wal', 4096 + 2 * 256 + 5, 0);
    const prepares = chain([1, 1, 1, 1]);
    const recovered = recover(unwrap(open(b)), { view: 1, suffix: prepares.slice(3) });
    expect(recovered.slots.map((slot) => [slot.id === null, slot.state])).toEqual([
      [true, 'faulty'],
      [true, 'faulty'],
      [false, 'faulty'],
      [false, 'durable'],
    ]);
    // What is intact there is told all the same, for when links lead to it.
    expect(recovered.slots.map((slot) => slot.found?.id ?? null)).toEqual([
      prepares[0]?.header.id,
      prepares[1]?.header.id,
      null,
      null,
    ]);
  });

  it('a suffix entry without header or id, and an op 0, are taken as they come', () => {
    const b = formatted();
    const prepares = chain([1, 1]);
    append(b, unwrap(open(b)), prepares);
    const suffix = [
      { op: 0 as Op, id: present(prepares[0]).header.parent, header: null },
      { op: 1 as Op, id: null, header: null },
      { op: 2 as Op, id: present(prepares[1]).header.id, header: null },
    ];
    const recovered = unwrap(open(b)).recover({ view: 1 as View, logView: 0 as View, suffix });
    expect(recovered.slots.map((slot) => slot.header)).toEqual(prepares.map((p) => p.header));
    expect(states(recovered)).toEqual(['durable', 'durable']);
  });
});
