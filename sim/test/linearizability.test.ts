import { randomChance, randomFloat, randomInt, seedRandom } from '@kimberlite/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkLinearizability, type Operation } from '../src/checkers/linearizability.ts';
import { type RegisterInput, type RegisterOutput, registerModel } from '../src/checkers/register.ts';

type Call = Operation<RegisterInput, RegisterOutput>;

const read = (value: string | null, invokedAt: number, at: number, key = 'k'): Call => ({
  key,
  client: 'c',
  input: { type: 'read' },
  invokedAt,
  returned: { at, output: { type: 'value', value } },
});
const change = (
  input: RegisterInput,
  invokedAt: number,
  at: number | null,
  output: RegisterOutput = { type: 'done' },
  key = 'k',
): Call => ({ key, client: 'c', input, invokedAt, returned: at === null ? null : { at, output } });
const write = (value: string, invokedAt: number, at: number | null, key = 'k'): Call =>
  change({ type: 'write', value }, invokedAt, at, { type: 'done' }, key);

const verdict = (history: readonly Call[]): string => checkLinearizability(registerModel, history).type;

describe('histories with known verdicts', () => {
  const linearizable: Record<string, readonly Call[]> = {
    'nothing at all': [],
    'one after the other': [write('a', 0, 1), read('a', 2, 3), write('b', 4, 5), read('b', 6, 7)],
    'a read beside a write sees the old value': [write('a', 0, 1), write('b', 2, 9), read('a', 3, 4)],
    'a read beside a write sees the new value': [write('a', 0, 1), write('b', 2, 9), read('b', 3, 4)],
    'two writes at once, either order': [write('a', 0, 9), write('b', 1, 8), read('a', 10, 11)],
    'calls that touch at one time are concurrent': [write('a', 0, 5), read(null, 5, 6)],
    'an unknown write took effect late': [write('a', 0, 1), write('b', 2, null), read('a', 3, 4), read('b', 50, 51)],
    'an unknown write never took effect': [write('a', 0, 1), write('b', 2, null), read('a', 3, 4), read('a', 50, 51)],
    'an unknown insert explains a rejected one': [
      change({ type: 'insert', value: 'a' }, 0, null),
      change({ type: 'insert', value: 'b' }, 5, 6, { type: 'rejected' }),
      read('a', 7, 8),
    ],
    'an unknown delete explains a missing row': [
      write('a', 0, 1),
      change({ type: 'delete' }, 2, null),
      change({ type: 'update', value: 'b' }, 5, 6, { type: 'rejected' }),
      read(null, 7, 8),
    ],
    'keys are independent': [write('a', 0, 1, 'x'), read(null, 2, 3, 'y')],
    'a call nested in another takes effect before it': [
      write('a', 0, 10),
      write('b', 2, 3),
      read('b', 4, 5),
      read('a', 11, 12),
    ],
    'a call nested in another takes effect after it': [write('a', 0, 10), write('b', 2, 3), read('b', 11, 12)],
    'three levels of nesting': [
      write('a', 0, 30),
      write('b', 5, 25),
      write('c', 10, 20),
      read('c', 21, 22),
      read('b', 26, 27),
      read('a', 31, 32),
    ],
    'a staircase of overlaps': [
      write('a', 0, 3),
      write('b', 2, 5),
      write('c', 4, 7),
      read('b', 6, 9),
      read('c', 8, 11),
    ],
    'a write that is open through a long partition': [
      write('a', 0, 1),
      write('x', 2, 500),
      ...Array.from({ length: 40 }, (_, i) => write(`b${i}`, 10 + 10 * i, 15 + 10 * i)),
      ...Array.from({ length: 40 }, (_, i) => read(`b${i}`, 16 + 10 * i, 18 + 10 * i)),
      read('x', 501, 502),
    ],
    'unknown writes from before a long partition come through after it': [
      write('a', 0, 1),
      write('x', 2, null),
      write('y', 3, null),
      ...Array.from({ length: 40 }, (_, i) => read('a', 10 + 10 * i, 15 + 10 * i)),
      read('y', 500, 501),
      read('x', 502, 503),
    ],
    'as many unknown deletes as it takes': [
      write('a', 0, 1),
      ...Array.from({ length: 20 }, (_, i) => change({ type: 'delete' }, 2 + i, null)),
      ...Array.from({ length: 10 }, (_, i) => [
        read(null, 100 + 10 * i, 101 + 10 * i),
        write('a', 102 + 10 * i, 103 + 10 * i),
      ]).flat(),
      read(null, 300, 301),
    ],
    'an unknown read says nothing': [write('a', 0, 1), change({ type: 'read' }, 2, null), read('a', 3, 4)],
    'an unknown call that is still to come is of no use and no harm': [read(null, 0, 1), write('a', 2, null)],
    'an insert after a delete, both beside a read': [
      write('a', 0, 1),
      change({ type: 'delete' }, 2, 9),
      change({ type: 'insert', value: 'b' }, 3, 8),
      read(null, 4, 7),
      read('b', 10, 11),
    ],
    // Herlihy & Wing, figure 2 in spirit: reads overlap a write and agree on one order.
    'overlapping reads in one order': [write('a', 0, 10), read(null, 1, 2), read('a', 3, 4), read('a', 5, 12)],
  };
  const not: Record<string, readonly Call[]> = {
    'a stale read': [write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)],
    'a lost write': [write('a', 0, 1), read(null, 2, 3)],
    'a value from nowhere': [write('a', 0, 1), read('z', 2, 3)],
    'a value from the future': [read('a', 0, 1), write('a', 2, 3)],
    'two reads disagree on the order': [write('a', 0, 20), read('a', 1, 2), read(null, 3, 4)],
    'an unknown write undone': [write('a', 0, 1), write('b', 2, null), read('b', 3, 4), read('a', 5, 6)],
    'an unknown write from before its call': [write('a', 0, 1), read('b', 2, 3), write('b', 4, null)],
    'an unknown write cannot happen twice': [
      write('a', 0, 1),
      write('x', 2, null),
      read('x', 3, 4),
      write('c', 5, 6),
      read('c', 7, 8),
      read('x', 9, 10),
    ],
    'an update executed twice': [write('a', 0, 1), write('b', 2, 3), read('b', 4, 5), read('a', 6, 7)],
    'a nested call seen after the one around it, and then before': [
      write('a', 0, 10),
      write('b', 2, 3),
      read('a', 11, 12),
      read('b', 13, 14),
    ],
    'two reads after two concurrent writes disagree': [
      write('a', 0, 10),
      write('b', 1, 9),
      read('a', 11, 12),
      read('b', 13, 14),
    ],
    'a stale read at the end of a long partition': [
      write('a', 0, 1),
      write('x', 2, 500),
      ...Array.from({ length: 40 }, (_, i) => read('a', 10 + 10 * i, 15 + 10 * i)),
      read('a', 501, 502),
    ],
    'one unknown delete explains one missing row, not two': [
      write('a', 0, 1),
      change({ type: 'delete' }, 2, null),
      read(null, 3, 4),
      write('b', 5, 6),
      read(null, 7, 8),
    ],
    'a rejected update beside nothing that could have removed the row': [
      write('a', 0, 1),
      change({ type: 'update', value: 'b' }, 2, 9, { type: 'rejected' }),
      write('c', 3, 8),
    ],
    'nobody has read the value, and yet it cannot have been there': [
      change({ type: 'insert', value: 'a' }, 0, 1),
      change({ type: 'insert', value: 'b' }, 2, 3),
    ],
    'a deletion that both succeed in': [
      write('a', 0, 1),
      change({ type: 'delete' }, 2, 9),
      change({ type: 'delete' }, 3, 8),
    ],
    'two inserts both succeed': [
      change({ type: 'insert', value: 'a' }, 0, 5),
      change({ type: 'insert', value: 'b' }, 1, 6),
    ],
    'a rejected insert of a free key': [change({ type: 'insert', value: 'a' }, 0, 1, { type: 'rejected' })],
    'a deleted row comes back': [write('a', 0, 1), change({ type: 'delete' }, 2, 3), read('a', 4, 5)],
    'one bad key among good ones': [
      write('a', 0, 1, 'x'),
      read('a', 2, 3, 'x'),
      write('a', 0, 1, 'y'),
      read('b', 2, 3, 'y'),
    ],
  };
  test.each(Object.entries(linearizable))('linearizable: %s', (_, history) => {
    expect(verdict(history)).toBe('ok');
  });
  test.each(Object.entries(not))('not linearizable: %s', (_, history) => {
    expect(verdict(history)).toBe('violation');
  });
});

test('a violation names its key and the shortest beginning that shows it', () => {
  const history = [
    write('a', 0, 1, 'good'),
    write('a', 0, 1),
    write('b', 2, 3),
    read('a', 4, 5),
    ...Array.from({ length: 50 }, (_, i) => write(`later ${i}`, 10 + 2 * i, 11 + 2 * i)),
  ];
  const found = checkLinearizability(registerModel, history);
  if (found.type !== 'violation') throw new Error('not found');
  expect(found.violation.key).toBe('k');
  expect(found.violation.operations).toHaveLength(3);
  expect(found.violation.longestOrder).toEqual([0, 1]);
});

/** Runs a real register with random delays, so the history is linearizable by construction. */
function generate(
  seed: number,
  options: { calls: number; keys: number; clients: number; unknownRate: number },
): Call[] {
  const random = seedRandom(seed);
  const rows = new Map<string, string>();
  const free = Array.from({ length: options.clients }, () => randomFloat(random));
  const pending: { at: number; run: () => void }[] = [];
  const history: Call[] = [];
  for (let i = 0; i < options.calls; i++) {
    const client = randomInt(random, 0, options.clients - 1);
    const invokedAt = free[client] ?? 0;
    const at = invokedAt + 0.1 + randomFloat(random);
    const effectAt = invokedAt + randomFloat(random) * (at - invokedAt);
    free[client] = at + randomFloat(random) * 0.1;
    const key = `k${randomInt(random, 0, options.keys - 1)}`;
    const kind = randomInt(random, 0, 4);
    const unknown = kind !== 0 && randomChance(random, options.unknownRate);
    const lost = unknown && randomChance(random, 0.5);
    const late = unknown ? randomFloat(random) * 5 : 0;
    pending.push({
      at: effectAt + late,
      run: () => {
        const value = rows.get(key) ?? null;
        const input: RegisterInput =
          kind === 0
            ? { type: 'read' }
            : kind === 4
              ? { type: 'delete' }
              : { type: kind === 1 ? 'write' : kind === 2 ? 'insert' : 'update', value: `v${i}` };
        const done = registerModel.step({ value }, input, null);
        let output: RegisterOutput = { type: 'done' };
        if (kind === 0) output = { type: 'value', value };
        else if (registerModel.step({ value }, input, output) === null) output = { type: 'rejected' };
        if (!lost && done !== null) {
          if (done.value === null) rows.delete(key);
          else rows.set(key, done.value);
        }
        history.push({ key, client: `c${client}`, input, invokedAt, returned: unknown ? null : { at, output } });
      },
    });
  }
  pending.sort((a, b) => a.at - b.at);
  for (const { run } of pending) run();
  return history;
}

describe('random histories of a real register', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('are linearizable, seed %i', (seed) => {
    const history = generate(seed, { calls: 400, keys: 3, clients: 6, unknownRate: 0.02 });
    expect(verdict(history)).toBe('ok');
  });

  test('and with one read falsified mostly are not', () => {
    let caught = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const history = generate(seed, { calls: 300, keys: 3, clients: 5, unknownRate: 0 });
      const reads = history.filter((call) => call.input.type === 'read');
      const victim = reads[Math.floor(reads.length / 2)];
      const falsified = history.map((call) =>
        call === victim && call.returned !== null
          ? { ...call, returned: { at: call.returned.at, output: { type: 'value', value: 'forged' } as const } }
          : call,
      );
      if (verdict(falsified) === 'violation') caught += 1;
    }
    expect(caught).toBe(20);
  });

  test('a hundred thousand calls over a thousand keys are checked within seconds', () => {
    const history = generate(99, { calls: 100_000, keys: 1000, clients: 50, unknownRate: 0.001 });
    const found = checkLinearizability(registerModel, history);
    expect(found.type).toBe('ok');
    expect(found.steps).toBeLessThan(1_000_000);
  });

  test('one long partition with many clients stays within its budget', () => {
    const history = generate(7, { calls: 10_000, keys: 1, clients: 8, unknownRate: 0 });
    expect(verdict(history)).toBe('ok');
  });
});

test('a partition too hard for its budget is reported, not guessed', () => {
  const history = [
    ...Array.from({ length: 18 }, (_, i) => write(`u${i}`, 0, null)),
    ...Array.from({ length: 18 }, (_, i) => read(`u${i}`, 10 + i, 10.5 + i)),
    read('never', 50, 51),
  ];
  expect(checkLinearizability(registerModel, history, [30])).toMatchObject({ type: 'budget-exceeded', keys: ['k'] });
  expect(checkLinearizability(registerModel, history).type).toBe('violation');
});

test('many unknown outcomes do not multiply: whoever used fewer of them can do all the others can', () => {
  const history = [
    write('a', 0, 1),
    ...Array.from({ length: 60 }, (_, i) => write(`u${i}`, 2 + i / 1000, null)),
    ...Array.from({ length: 30 }, (_, i) => read(`u${i % 2 === 0 ? i : i + 20}`, 10 + i, 10.5 + i)),
    read('never', 200, 201),
  ];
  const found = checkLinearizability(registerModel, history);
  expect(found.type).toBe('violation');
  expect(found.steps).toBeLessThan(100_000);
});

/** Every order of every choice of the unknown ones: slow, and too plain to be wrong. */
function bruteForce(history: readonly Call[]): boolean {
  const explains = (state: { value: string | null }, left: readonly Call[]): boolean => {
    if (left.every((call) => call.returned === null)) return true;
    return left.some((call) => {
      // Somebody who returned before this one was called has to go first.
      if (left.some((other) => other.returned !== null && other.returned.at < call.invokedAt)) return false;
      const next = registerModel.step(state, call.input, call.returned?.output ?? null);
      return (
        next !== null &&
        explains(
          next,
          left.filter((other) => other !== call),
        )
      );
    });
  };
  return explains({ value: null }, history);
}

/** Histories of up to seven calls on one row, with few values, so that about half of them are linearizable. */
const smallHistories: fc.Arbitrary<readonly Call[]> = fc.array(
  fc
    .record({
      type: fc.constantFrom('read', 'read', 'write', 'insert', 'update', 'delete'),
      value: fc.constantFrom('a', 'b'),
      found: fc.constantFrom('a', 'b', null),
      rejected: fc.boolean(),
      invokedAt: fc.integer({ min: 0, max: 12 }),
      length: fc.integer({ min: 0, max: 8 }),
      unknown: fc.constantFrom(false, false, false, true),
    })
    .map(({ type, value, found, rejected, invokedAt, length, unknown }): Call => {
      const at = unknown ? null : invokedAt + length;
      if (type === 'read') return at === null ? change({ type: 'read' }, invokedAt, null) : read(found, invokedAt, at);
      const input: RegisterInput = type === 'delete' ? { type } : { type, value };
      return change(input, invokedAt, at, { type: rejected && type !== 'write' ? 'rejected' : 'done' });
    }),
  { minLength: 1, maxLength: 7 },
);

test('the search and brute force over all orders agree on small random histories', () => {
  const verdicts = { ok: 0, violation: 0 };
  fc.assert(
    fc.property(smallHistories, (history) => {
      const expected = bruteForce(history) ? 'ok' : 'violation';
      verdicts[expected] += 1;
      expect(verdict(history)).toBe(expected);
      // The same without the shortcut for values nobody read.
      const { alike: _, ...plain } = registerModel;
      expect(checkLinearizability(plain, history).type).toBe(expected);
    }),
    { numRuns: 3000, seed: 42 },
  );
  expect(Math.min(verdicts.ok, verdicts.violation)).toBeGreaterThan(500);
});

test('the shortest beginning that cannot be explained can be without its last return', () => {
  fc.assert(
    fc.property(smallHistories, (history) => {
      const found = checkLinearizability(registerModel, history);
      if (found.type !== 'violation') return;
      const { operations } = found.violation;
      expect(bruteForce(operations)).toBe(false);
      const last = Math.max(...operations.map((call) => call.returned?.at ?? -1));
      const before = operations.map((call) => (call.returned?.at === last ? { ...call, returned: null } : call));
      expect(bruteForce(before)).toBe(true);
    }),
    { numRuns: 1000, seed: 43 },
  );
});
