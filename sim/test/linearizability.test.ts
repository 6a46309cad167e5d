import { randomChance, randomFloat, randomInt, seedRandom } from '@kimberlite/base';
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
    ...Array.from({ length: 4 }, (_, i) => read(`u${i}`, 10 + i, 10.5 + i)),
    read('never', 20, 21),
  ];
  const found = checkLinearizability(registerModel, history, [1000]);
  expect(found).toMatchObject({ type: 'budget-exceeded', keys: ['k'] });
});
