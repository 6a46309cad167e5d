import { concatBytes } from '@kimberlite/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  applyBatch,
  applyCommitted,
  type Command,
  commandTypes,
  decode,
  type Effect,
  encode,
  initialState,
  type KernelErrorCode,
  type KernelState,
  type Outcome,
  recomputeStateHash,
  stateHash,
  validate,
} from '../src/index.ts';
import { indexEntryKey } from '../src/index-entry.ts';
import { namedKey } from '../src/key.ts';
import { commands, committed, crowdedCommand, crowdedState, rawCommand, seeding } from './arbitrary.ts';

const bytes = (state: KernelState): string => Buffer.from(concatBytes(encode(state))).toString('hex');

function oneByOne(
  start: KernelState,
  list: readonly Command[],
): { states: KernelState[]; effects: (readonly Effect[])[] } {
  const states = [start];
  const effects: (readonly Effect[])[] = [];
  let state = start;
  for (const entry of committed(start, list)) {
    const applied = applyCommitted(state, entry);
    state = applied.state;
    states.push(state);
    effects.push(applied.effects);
  }
  return { states, effects };
}

const last = <T>(list: readonly T[]): T => list[list.length - 1] as T;

test('a batch is its commands one by one: states, effects, outcomes, bytes and hash', () => {
  fc.assert(
    fc.property(commands(60), fc.integer({ min: 1, max: 9 }), (list, size) => {
      const single = oneByOne(initialState(), list);
      const entries = committed(initialState(), list);
      let state = initialState();
      const effects: (readonly Effect[])[] = [];
      const outcomes: Outcome[] = [];
      for (let i = 0; i < entries.length; i += size) {
        const applied = applyBatch(state, entries.slice(i, i + size));
        state = applied.state;
        effects.push(...applied.effects);
        outcomes.push(...applied.outcomes);
      }
      expect(bytes(state)).toBe(bytes(last(single.states)));
      expect(stateHash(state)).toBe(stateHash(last(single.states)));
      expect(state.usedBytes).toBe(last(single.states).usedBytes);
      expect(state.metrics).toEqual(last(single.states).metrics);
      expect(effects).toEqual(single.effects);
      const told = effects.map((each) => last(each));
      expect(told).toEqual(outcomes.map((outcome) => ({ type: 'NotifyClient', session: 7, outcome })));
    }),
    { numRuns: 150 },
  );
});

test('old states stay what they were, while later ones are made from them', () => {
  fc.assert(
    fc.property(commands(40), (list) => {
      const seen: [KernelState, string, string][] = [];
      let state = initialState();
      const entries = committed(state, list);
      for (let i = 0; i < entries.length; i += 5) {
        seen.push([state, bytes(state), stateHash(state)]);
        state = applyBatch(state, entries.slice(i, i + 5)).state;
      }
      for (const [old, was, hash] of seen) {
        expect(bytes(old)).toBe(was);
        expect(stateHash(old)).toBe(hash);
      }
    }),
    { numRuns: 60 },
  );
});

test('replay from any point, also through encode and decode, gives the same bytes', () => {
  fc.assert(
    fc.property(commands(50), fc.nat(), (list, at) => {
      const entries = committed(initialState(), list);
      const whole = applyBatch(initialState(), entries).state;
      const cut = at % (entries.length + 1);
      const first = applyBatch(initialState(), entries.slice(0, cut)).state;
      const restored = decode(encode(first));
      expect(restored.ok ? '' : restored.error).toBe('');
      if (!restored.ok) return;
      expect(bytes(restored.value)).toBe(bytes(first));
      expect(stateHash(restored.value)).toBe(stateHash(first));
      expect(restored.value.usedBytes).toBe(first.usedBytes);
      const replayed = applyBatch(restored.value, entries.slice(cut));
      expect(bytes(replayed.state)).toBe(bytes(whole));
      expect(stateHash(replayed.state)).toBe(stateHash(whole));
      expect(replayed.state.usedBytes).toBe(whole.usedBytes);
    }),
    { numRuns: 150 },
  );
});

function checkDerived(state: KernelState): void {
  let used = 0;
  for (const at = state.tenants.ascend(); at.key !== undefined; at.next()) {
    let tables = 0;
    for (const t = state.tables.ascend(); t.key !== undefined; t.next())
      if (t.value.tenantId === at.value.tenantId) tables++;
    expect(at.value.tables).toBe(tables);
    used += at.value.usedBytes;
  }
  expect(used).toBeLessThanOrEqual(state.usedBytes);
  let indexed = 0;
  for (const at = state.tables.ascend(); at.key !== undefined; at.next()) indexed += at.value.indexes.length;
  expect(indexed).toBe(state.indexes.size);
  for (const at = state.indexes.ascend(); at.key !== undefined; at.next()) {
    const index = at.value;
    const table = state.tables.get(namedKey(index.tenantId, index.table));
    expect(table?.indexes).toContain(at.key);
    if (table === undefined) return;
    const expected: [string, string][] = [];
    for (const row = table.rows.ascend(); row.key !== undefined; row.next()) {
      expected.push([indexEntryKey(table, index, row.key, row.value.cells), row.key]);
    }
    const actual: [string, string][] = [];
    for (const entry = index.entries.ascend(); entry.key !== undefined; entry.next())
      actual.push([entry.key, entry.value]);
    expect(actual).toEqual(expected.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

test('the hash kept with every command is the hash from scratch; indexes and counts are what the rows say', () => {
  fc.assert(
    fc.property(commands(60), (list) => {
      const { states } = oneByOne(initialState(), list);
      for (const state of states) expect(stateHash(state)).toBe(recomputeStateHash(state));
      checkDerived(last(states));
    }),
    { numRuns: 80 },
  );
});

test('the hash tells states apart that encode tells apart', () => {
  fc.assert(
    fc.property(commands(30), (list) => {
      const hashes = new Map<string, string>();
      for (const state of oneByOne(initialState(), list).states) {
        const known = hashes.get(stateHash(state));
        if (known !== undefined) expect(known).toBe(bytes(state));
        hashes.set(stateHash(state), bytes(state));
      }
      expect(hashes.size).toBe(list.length + 1);
    }),
    { numRuns: 40 },
  );
});

test('an idempotent command sent again has its first outcome and changes nothing', () => {
  fc.assert(
    fc.property(commands(40), fc.nat(), (list, pick) => {
      const candidates = list.filter((command) => command.type !== 'Query' && command.idempotencyId !== undefined);
      fc.pre(candidates.length > 0);
      const chosen = candidates[pick % candidates.length] as Command;
      const { states, effects } = oneByOne(initialState(), [...list, chosen]);
      const state = last(states);
      const again = applyBatch(state, committed(state, [chosen]));
      const told = last(last(effects));
      expect(told.type).toBe('NotifyClient');
      if (told.type !== 'NotifyClient') return;
      const [first, second] = [told.outcome, again.outcomes[0] as Outcome];
      if (first.ok) {
        expect(second).toEqual({ ...first, isReplay: true });
      } else if (
        !first.error.retryable &&
        first.error.code !== 'TenantNotFound' &&
        first.error.code !== 'DuplicateIdempotencyId'
      ) {
        expect(second).toEqual(first);
      }
      const header = { position: 0, op: 0, timestamp: 0 };
      if (first.ok) expect(bytes({ ...again.state, ...header })).toBe(bytes({ ...state, ...header }));
    }),
    { numRuns: 150 },
  );
});

test('arbitrary commands reach every kind of command and every error, and none throws', () => {
  const kinds = new Set<string>();
  const codes = new Set<string>();
  const effects = new Set<string>();
  const start = crowdedState();
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 30, arbitrary: rawCommand }, { weight: 1, arbitrary: crowdedCommand }), {
        maxLength: 60,
        size: 'max',
      }),
      (raw) => {
        const accepted: Command[] = [];
        for (const each of [...seeding, ...raw]) {
          const result = validate(each);
          if (result.ok) accepted.push(result.value);
          else codes.add(result.error.code);
        }
        const applied = applyBatch(start, committed(start, accepted));
        expect(applied.state.position).toBe(start.position + accepted.length);
        applied.outcomes.forEach((outcome, i) => {
          if (outcome.ok) kinds.add((accepted[i] as Command).type);
          else {
            codes.add(outcome.error.code);
            expect(outcome.error.message.length).toBeGreaterThan(10);
            expect(last(applied.effects[i] as readonly Effect[]).type).toBe('NotifyClient');
            expect(applied.effects[i]).toHaveLength(1);
          }
        });
        for (const list of applied.effects) for (const effect of list) effects.add(effect.type);
      },
    ),
    { numRuns: 250, seed: 20261123 },
  );
  expect([...kinds].sort()).toEqual([...commandTypes].sort());
  const every: Record<KernelErrorCode, true> = {
    TenantNotFound: true,
    TenantAlreadyExists: true,
    InvalidTenantId: true,
    TableNotFound: true,
    TableAlreadyExists: true,
    IndexNotFound: true,
    IndexAlreadyExists: true,
    ColumnNotFound: true,
    TypeMismatch: true,
    NotNullViolation: true,
    DuplicateKey: true,
    UniqueViolation: true,
    RowNotFound: true,
    RowTooLarge: true,
    PreconditionFailed: true,
    QuotaExceeded: true,
    QueryTooExpensive: true,
    DuplicateIdempotencyId: true,
    InvalidCommand: true,
    StateTransitionFailed: true,
  };
  expect([...codes].sort()).toEqual(Object.keys(every).sort());
  expect([...effects].sort()).toEqual(['DeleteFile', 'FlushToDisk', 'NotifyClient', 'WriteToLog']);
});

test('validate is total, and takes its own output unchanged', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.anything({ withBigInt: true, withNullPrototype: true, withObjectString: true, withTypedArray: true }),
        rawCommand,
      ),
      (value) => {
        const once = validate(value);
        if (!once.ok) {
          expect(['InvalidCommand', 'InvalidTenantId']).toContain(once.error.code);
          return;
        }
        expect(validate(once.value)).toEqual(once);
      },
    ),
    { numRuns: 2000 },
  );
});

test('damaged state never throws, and is refused or is another well-formed state', () => {
  fc.assert(
    fc.property(commands(25), fc.nat(), fc.integer({ min: 1, max: 255 }), (list, at, flip) => {
      const whole = concatBytes(encode(applyBatch(initialState(), committed(initialState(), list)).state));
      const damaged = whole.slice();
      damaged[at % damaged.length] = (damaged[at % damaged.length] as number) ^ flip;
      const read = decode([damaged]);
      if (read.ok) expect(concatBytes(encode(read.value))).toEqual(damaged);
      expect(decode([whole.subarray(0, at % whole.length)]).ok && at % whole.length === 0).toBe(false);
    }),
    { numRuns: 300 },
  );
});
