import { commandsPerRequestMax, replyBytesMax } from '@kimberlite/base';
import type { Command, Outcome, QueryAnswer, Row } from '@kimberlite/kernel';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import {
  decodeCommands,
  decodeOutcomes,
  decodeQueryAnswer,
  encodeCommand,
  encodeCommands,
  encodeOutcomes,
  encodeQueryAnswer,
  joinCommands,
  parseJson,
  readCommands,
  toBase64,
  toJson,
} from '../src/index.ts';
import { unpack } from '../src/msgpack.ts';

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const unsafe = int64.filter((n) => n > 2n ** 53n - 1n || n < -(2n ** 53n) + 1n);
const name = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }).filter((text) => text !== '__proto__');
const value = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
  unsafe,
  fc.string({ maxLength: 80, unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 40 }),
);
const row = fc.dictionary(name, value, { maxKeys: 8, noNullPrototype: true });
const insert: fc.Arbitrary<Command> = row.map((fields) => ({
  type: 'Insert',
  tenantId: 1,
  table: 't',
  row: fields as Row,
}));

describe('commands', () => {
  it('round trip, packed together or one by one', () => {
    fc.assert(
      fc.property(fc.array(insert, { maxLength: 40 }), (commands) => {
        const together = encodeCommands(commands);
        expect(joinCommands(commands.map(encodeCommand))).toEqual(together);
        expect(decodeCommands(together)).toEqual({ ok: true, value: commands });
      }),
      { numRuns: 500 },
    );
  });

  it('a full batch, and an empty one', () => {
    const many = Array.from({ length: commandsPerRequestMax }, () => encodeCommand({ type: 'Checkpoint' }));
    const full = decodeCommands(joinCommands(many));
    expect(full.ok && full.value.length).toBe(commandsPerRequestMax);
    expect(decodeCommands(joinCommands([]))).toEqual({ ok: true, value: [] });
  });

  it('byte strings of commands are plain views of the body, and copies in everything else', () => {
    const body = encodeCommands([{ type: 'Insert', tenantId: 1, table: 't', row: { id: Uint8Array.of(1, 2) } }]);
    const decoded = decodeCommands(body);
    const copied = unpack(body);
    expect(decoded).toMatchObject({ value: [{ row: { id: Uint8Array.of(1, 2) } }] });
    body.fill(0);
    expect(decoded).toMatchObject({ value: [{ row: { id: Uint8Array.of(0, 0) } }] });
    expect(copied).toMatchObject({ value: [{ row: { id: Uint8Array.of(1, 2) } }] });
  });

  it.each([
    ['a record definition', Uint8Array.of(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01)],
    ['a date', new Packr().pack(new Date(0))],
    ['a set', new Packr({ moreTypes: true }).pack(new Set([1]))],
    ['an error', new Packr({ moreTypes: true }).pack(new Error('x'))],
    ['a regular expression', new Packr({ moreTypes: true }).pack(/x/)],
    ['a cycle', Uint8Array.of(0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1)],
    ['undefined', Uint8Array.of(0xd4, 0, 0)],
    ['the byte that is never used', Uint8Array.of(0xc1)],
    ['bundled strings', new Packr({ bundleStrings: true }).pack(['hello world', 'hello'])],
    ['a key that is a number', Uint8Array.of(0x81, 0x01, 0x01)],
    ['the key __proto__', Uint8Array.of(0x81, 0xa9, ...Buffer.from('__proto__'), 0x80)],
    ['a lone surrogate', Uint8Array.of(0xa3, 0xed, 0xa0, 0x80)],
    ['an overlong form', Uint8Array.of(0xa2, 0xc0, 0x80)],
    ['depth', new Uint8Array(1000).fill(0x91)],
    ['an array longer than the body', Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ['trailing bytes', Uint8Array.of(0x90, 0x90)],
    ['nothing', new Uint8Array(0)],
  ])('refuses %s', (_name, bytes) => {
    expect(unpack(new Uint8Array(bytes)).ok).toBe(false);
    expect(decodeCommands(new Uint8Array(bytes)).ok).toBe(false);
    expect(readCommands(new Uint8Array(bytes)).ok).toBe(false);
  });

  it('random bytes never throw, and what is read can be written again', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const decoded = unpack(bytes);
        decodeCommands(bytes);
        decodeOutcomes(bytes);
        decodeQueryAnswer(bytes);
        if (decoded.ok) expect(() => structuredClone(decoded.value)).not.toThrow();
      }),
      { numRuns: 20_000 },
    );
  });

  it('admission names the command that is wrong', () => {
    const good: Command = { type: 'CreateTenant', tenantId: 1, name: 'clinic' };
    expect(readCommands(encodeCommands([good]))).toEqual({ ok: true, value: [good] });
    const bad = { type: 'CreateTenant', tenantId: 0, name: 'clinic' } as unknown as Command;
    const checked = readCommands(encodeCommands([good, bad]));
    expect(checked.ok ? '' : checked.error.message).toContain('command 2');
    expect(readCommands(encodeCommands([{ type: 'Nonsense' } as unknown as Command])).ok).toBe(false);
  });
});

describe('outcomes', () => {
  it('round trip', () => {
    const outcome: fc.Arbitrary<Outcome> = fc.oneof(
      fc.record({
        ok: fc.constant(true as const),
        position: fc.maxSafeNat(),
        op: fc.maxSafeNat(),
        timestamp: fc.maxSafeNat(),
        isReplay: fc.boolean(),
      }),
      fc.record({
        ok: fc.constant(true as const),
        position: fc.nat(),
        op: fc.nat(),
        timestamp: fc.nat(),
        isReplay: fc.boolean(),
        result: fc.record({ inserted: fc.boolean() }),
      }),
      fc.record({
        ok: fc.constant(false as const),
        position: fc.nat(),
        error: fc.record({
          code: fc.constant('TenantNotFound' as const),
          message: fc.string({ unit: 'grapheme' }),
          retryable: fc.boolean(),
          tenantId: fc.nat(),
        }),
      }),
    );
    fc.assert(
      fc.property(fc.array(outcome), (outcomes) => {
        expect(decodeOutcomes(encodeOutcomes(outcomes))).toEqual({ ok: true, value: outcomes });
      }),
    );
  });

  it('never exceed a reply: results give way, positions do not', () => {
    const rows = Array.from({ length: 100 }, (_, id) => ({ id, text: 'x'.repeat(1000) }));
    const outcomes: Outcome[] = Array.from({ length: commandsPerRequestMax }, (_, i) => ({
      ok: true,
      position: i + 1,
      op: 1,
      timestamp: 1,
      isReplay: false,
      ...(i % 2 === 0 ? { result: { rows, position: 1, timestamp: 1 } } : {}),
    }));
    const body = encodeOutcomes(outcomes);
    expect(body.length).toBeLessThanOrEqual(replyBytesMax);
    const decoded = decodeOutcomes(body);
    if (!decoded.ok) throw new Error(decoded.error.message);
    expect(decoded.value.map((outcome) => outcome.position)).toEqual(outcomes.map((outcome) => outcome.position));
    expect(decoded.value.filter((outcome) => outcome.ok).length).toBe(commandsPerRequestMax / 2);
  });
});

describe('answers', () => {
  it('round trip with types', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
        fc.array(fc.array(value, { minLength: 5, maxLength: 5 })),
        (columns, lists) => {
          const rows = lists.map(
            (list) => Object.fromEntries(columns.map((column, i) => [column, list[i] ?? null])) as Row,
          );
          const answer: QueryAnswer = { rows, position: 7, timestamp: 9, cursor: 'c' };
          const types = Object.fromEntries(columns.map((column) => [column, 'json' as const]));
          const decoded = decodeQueryAnswer(encodeQueryAnswer({ ok: true, value: answer }, types));
          expect(decoded).toEqual({
            ok: true,
            value: { ok: true, value: { ...answer, types: rows.length > 0 ? types : {} } },
          });
        },
      ),
    );
  });

  it('one too large becomes an error that names the bound', () => {
    const rows = Array.from({ length: 10 }, (_, id) => ({ id, text: 'x'.repeat(300_000) }));
    const decoded = decodeQueryAnswer(encodeQueryAnswer({ ok: true, value: { rows, position: 1, timestamp: 1 } }));
    if (!decoded.ok || decoded.value.ok) throw new Error('an error was expected');
    expect(decoded.value.error.message).toContain(String(replyBytesMax));
  });
});

describe('JSON', () => {
  it('base64 as the platform has it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
      }),
    );
  });

  it('big ints are decimal strings, bytes base64, and the rest is itself', () => {
    const json = toJson({ a: 2n ** 60n, b: 5n, c: Uint8Array.of(255), d: [null, true, 1.5, 'x'], e: undefined });
    expect(json).toEqual({ a: '1152921504606846976', b: 5, c: '/w==', d: [null, true, 1.5, 'x'] });
  });

  it('text that is no JSON, or has __proto__, or nests without end, is an error and not a throw', () => {
    expect(parseJson('{"a":1}')).toEqual({ ok: true, value: { a: 1 } });
    expect(parseJson('{').ok).toBe(false);
    expect(parseJson('{"row":{"__proto__":{"x":1}}}')).toMatchObject({ ok: false });
    expect(parseJson(`${'['.repeat(100_000)}${']'.repeat(100_000)}`).ok).toBe(false);
  });
});
