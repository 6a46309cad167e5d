import {
  type ClientId,
  concatBytes,
  type Op,
  replyBytesMax,
  sha256Hasher,
  type SessionNumber,
  type Timestamp,
} from '@kimberlite/base';
import type { Command, CommandInput } from '@kimberlite/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKernelStateMachine,
  decodeOutcomes,
  decodeQueryAnswer,
  encodeCommands,
  encodeQuery,
  joinCommands,
} from '../src/index.ts';

const machine = createKernelStateMachine();
type State = ReturnType<typeof machine.initial>;

const request = (op: number, body: Uint8Array) => ({
  op: op as Op,
  timestamp: (op * 1000) as Timestamp,
  client: '0'.repeat(32) as ClientId,
  session: 1 as SessionNumber,
  checksum: sha256Hasher(body),
  body,
});

const setUp: readonly CommandInput[] = [
  { type: 'CreateTenant', tenantId: 1, name: 'clinic' },
  { type: 'CreateTable', tenantId: 1, table: 'patients', columns: { id: 'int', name: 'text?' }, primaryKey: ['id'] },
];

function outcomesOf(reply: Uint8Array) {
  const outcomes = decodeOutcomes(reply);
  if (!outcomes.ok) throw new Error(outcomes.error.message);
  return outcomes.value;
}

describe('the kernel over bytes', () => {
  it('does with what it admitted exactly what it does with bytes it has never seen', () => {
    const insert: Command = { type: 'Insert', tenantId: 1, table: 'patients', row: { id: 1, name: 'Ada' } };
    const query: Command = { type: 'Query', query: { tenantId: 1, table: 'patients' } };
    const bodies = [encodeCommands(setUp), encodeCommands([insert, query, insert, insert, query])];
    const run = (admits: boolean) => {
      const own = createKernelStateMachine();
      let state = own.initial();
      return bodies.map((body, i) => {
        if (admits) expect(own.admit(body, sha256Hasher(body)).ok).toBe(true);
        const applied = own.apply(state, request(i + 1, body));
        state = applied.state;
        return { reply: applied.reply, effects: applied.effects, hash: own.stateHash(state) };
      });
    };
    expect(run(true)).toEqual(run(false));
  });

  it('makes an op a checkpoint op when a Checkpoint runs, and not when one is repeated', () => {
    const insert: CommandInput = { type: 'Insert', tenantId: 1, table: 'patients', row: { id: 1 } };
    let state = machine.apply(machine.initial(), request(1, encodeCommands(setUp))).state;
    let op = 1;
    const run = (...commands: readonly CommandInput[]) => {
      op += 1;
      const applied = machine.apply(state, request(op, encodeCommands(commands)));
      state = applied.state;
      const flushes = applied.effects.filter((effect) => (effect as { type: string }).type === 'FlushToDisk');
      return { checkpoint: applied.checkpoint, flushes };
    };
    const none = { checkpoint: undefined, flushes: [] };
    const once = { type: 'Checkpoint', idempotencyId: 'once' } as const;
    expect(run(insert)).toEqual(none);
    expect(run(once)).toEqual({ checkpoint: true, flushes: [{ type: 'FlushToDisk', op: 3, position: 4 }] });
    expect(run(once)).toEqual(none);
    expect(run({ type: 'Compact' })).toEqual(none);
    expect(run(insert, { type: 'Checkpoint' }, insert)).toMatchObject({ checkpoint: true, flushes: [{ op: 6 }] });
  });

  it('gives a state back from its bytes, in pieces of any size', () => {
    const insert: CommandInput = { type: 'Insert', tenantId: 1, table: 'patients', row: { id: 1, name: 'Ada' } };
    const { state } = machine.apply(machine.initial(), request(1, encodeCommands([...setUp, insert])));
    const bytes = concatBytes([...machine.encode(state)]);
    for (const size of [1, 7, bytes.length]) {
      const decoder = machine.decoder();
      for (let at = 0; at < bytes.length; at += size) expect(decoder.push(bytes.subarray(at, at + size)).ok).toBe(true);
      const back = decoder.finish();
      expect(back.ok && machine.stateHash(back.value)).toBe(machine.stateHash(state));
    }
    expect(machine.decoder().push(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 0)).ok).toBe(false);
  });

  it('keeps nothing of what state holds as a view of a request', () => {
    const table = { columns: { id: 'int', data: 'bytes' }, primaryKey: ['id'] } as const;
    const create: CommandInput = { type: 'CreateTable', tenantId: 1, table: 'blobs', ...table };
    const insert: Command = {
      type: 'Insert',
      tenantId: 1,
      table: 'blobs',
      row: { id: 1, data: new Uint8Array([1, 2, 3]) },
    };
    const body = new Uint8Array(encodeCommands([...setUp, create, insert]));
    const { state } = machine.apply(machine.initial(), request(1, body));
    body.fill(0xff);
    const answer = decodeQueryAnswer(machine.query(state, encodeQuery({ tenantId: 1, table: 'blobs' })));
    expect(answer).toMatchObject({
      ok: true,
      value: { ok: true, value: { rows: [{ id: 1, data: new Uint8Array([1, 2, 3]) }] } },
    });
  });

  it('applies a batch, replies to each command, and answers from any state it had', () => {
    const before = machine.apply(machine.initial(), request(1, encodeCommands(setUp)));
    const row = { id: 2n ** 60n, name: 'Ada' };
    const insert: Command = { type: 'Insert', tenantId: 1, table: 'patients', row };
    const after = machine.apply(before.state, request(2, encodeCommands([insert, insert])));
    expect(outcomesOf(after.reply)).toMatchObject([
      { ok: true, position: 3, op: 2, timestamp: 2000 },
      { ok: false, position: 4, error: { code: 'DuplicateKey' } },
    ]);
    expect(after.effects).toMatchObject([{ type: 'WriteToLog', position: 3, change: 'insert' }]);
    expect(machine.position(after.state)).toBe(4);
    const all = encodeQuery({ tenantId: 1, table: 'patients' });
    expect(decodeQueryAnswer(machine.query(before.state, all))).toMatchObject({ value: { value: { rows: [] } } });
    expect(decodeQueryAnswer(machine.query(after.state, all))).toMatchObject({
      value: { value: { rows: [row], types: { id: 'int', name: 'text' }, position: 4, timestamp: 2000 } },
    });
    expect(machine.stateHash(after.state)).not.toBe(machine.stateHash(before.state));
  });

  it('gives the same state however commands are cut into requests', () => {
    const inserts: CommandInput[] = Array.from({ length: 30 }, (_, id) => ({
      type: 'Insert',
      tenantId: 1,
      table: 'patients',
      row: { id: id % 20, name: `n${id}` },
    }));
    const all = [...setUp, ...inserts];
    const whole = machine.apply(machine.initial(), request(1, encodeCommands(all))).state;
    let state: State = machine.initial();
    for (const command of all) state = machine.apply(state, request(1, encodeCommands([command]))).state;
    expect(machine.stateHash(state)).toBe(machine.stateHash(whole));
    expect(machine.position(state)).toBe(all.length);
  });

  it('an empty batch changes nothing; one that cannot be read takes one position', () => {
    const { state } = machine.apply(machine.initial(), request(1, encodeCommands(setUp)));
    const nothing = machine.apply(state, request(2, joinCommands([])));
    expect(machine.position(nothing.state)).toBe(2);
    expect(outcomesOf(nothing.reply)).toEqual([]);
    const garbage = machine.apply(state, request(2, Uint8Array.of(0xc1)));
    expect(machine.position(garbage.state)).toBe(3);
    expect(outcomesOf(garbage.reply)).toMatchObject([{ ok: false, position: 3, error: { code: 'InvalidCommand' } }]);
  });

  it('an invalid command among valid ones takes its position and nothing else', () => {
    const bad = { type: 'Explode' } as unknown as CommandInput;
    const [tenant, table] = setUp as [CommandInput, CommandInput];
    const { state, reply } = machine.apply(machine.initial(), request(1, encodeCommands([tenant, bad, table])));
    expect(outcomesOf(reply)).toMatchObject([
      { ok: true, position: 1 },
      { ok: false, position: 2, error: { code: 'InvalidCommand' } },
      { ok: true, position: 3 },
    ]);
    expect(machine.position(state)).toBe(3);
  });

  it('is total on any bytes, as a request and as a query', () => {
    const { state } = machine.apply(machine.initial(), request(1, encodeCommands(setUp)));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const applied = machine.apply(state, request(2, bytes));
        expect(machine.position(applied.state)).toBeGreaterThanOrEqual(2);
        expect(decodeOutcomes(applied.reply).ok).toBe(true);
        expect(decodeQueryAnswer(machine.query(state, bytes)).ok).toBe(true);
      }),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const body = encodeQuery(value as never);
        expect(decodeQueryAnswer(machine.query(state, body)).ok).toBe(true);
        machine.apply(state, request(2, encodeCommands([value as never])));
      }),
      { numRuns: 2000 },
    );
  });

  it('lets the queries of one request take together what one may take, and no more', () => {
    let { state } = machine.apply(machine.initial(), request(1, encodeCommands(setUp)));
    for (let batch = 0; batch < 8; batch++) {
      const rows: CommandInput[] = Array.from({ length: 400 }, (_, i) => ({
        type: 'Insert',
        tenantId: 1,
        table: 'patients',
        row: { id: batch * 400 + i, name: 'n'.repeat(500) },
      }));
      ({ state } = machine.apply(state, request(2 + batch, encodeCommands(rows))));
    }
    const wide: CommandInput = { type: 'Query', tenantId: 1, table: 'patients', limit: 10_000 };
    const narrow: CommandInput = { type: 'Query', tenantId: 1, table: 'patients', where: { id: 7 } };
    const write: CommandInput = { type: 'Delete', tenantId: 1, table: 'patients', key: { id: 7 } };
    const many = machine.apply(state, request(20, encodeCommands([wide, narrow, wide, wide, write, narrow])));
    expect(many.reply.length).toBeLessThanOrEqual(replyBytesMax);
    const outcomes = outcomesOf(many.reply);
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, true, true, false, true, false]);
    expect(outcomes[1]).toMatchObject({ result: { rows: [{ id: 7 }] } });
    expect(outcomes[1]).not.toHaveProperty('result.plan');
    expect(outcomes[3]).toMatchObject({ error: { code: 'StateTransitionFailed', retryable: true } });
    const scan: CommandInput = { type: 'Query', tenantId: 1, table: 'patients', where: { name: 'x' }, explain: true };
    const scans = outcomesOf(machine.apply(state, request(20, encodeCommands(Array(512).fill(scan)))).reply);
    expect(scans[0]).toMatchObject({ ok: true, result: { rows: [], plan: { access: 'scan', examined: 3_200 } } });
    expect(scans.filter(({ ok }) => ok).length).toBeLessThan(20);
    expect(scans).toHaveLength(512);
  });
});
