import { compareBytes, compareText } from '@kimberlite/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson, isJsonValue, parseCanonicalJson } from '../src/canonical-json.ts';
import { showCell, toCell, toJson } from '../src/cell.ts';
import { Digest } from '../src/digest.ts';
import { afterPrefix, keyPart, keyPrefix } from '../src/key.ts';
import { type Plain, pack, unpack } from '../src/packed.ts';
import { normalInt, parseBase64, parseInt64, parseIsoTimestamp, toBase64 } from '../src/text-forms.ts';
import type { JsonValue } from '../src/value.ts';

const sign = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);
const text = fc.string({ unit: 'binary' });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const float = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0);

test('int keys order like ints, whatever their form', () => {
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      const [x, y] = [keyPart('int', false, normalInt(a)), keyPart('int', false, normalInt(b))];
      expect(sign(x, y)).toBe(a === b ? 0 : a < b ? -1 : 1);
    }),
  );
  fc.assert(
    fc.property(fc.maxSafeInteger(), (n) => {
      expect(keyPart('int', false, n)).toBe(keyPart('int', false, BigInt(n)));
    }),
  );
});

test('float keys order like floats', () => {
  fc.assert(
    fc.property(float, float, (a, b) => {
      expect(sign(keyPart('float', false, a), keyPart('float', false, b))).toBe(a === b ? 0 : a < b ? -1 : 1);
    }),
  );
});

test('text and bytes keys order by bytes and are self-delimiting', () => {
  fc.assert(
    fc.property(text, text, text, text, (a, b, c, d) => {
      const join = (x: string, y: string): string => keyPart('text', false, x) + keyPart('text', true, y);
      expect(sign(join(a, c), join(b, d))).toBe(a === b ? compareText(c, d) : compareText(a, b));
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      expect(sign(keyPart('bytes', false, a), keyPart('bytes', false, b))).toBe(compareBytes(a, b));
    }),
  );
  expect(keyPart('text', false, '\u{10000}') > keyPart('text', false, '\uffff')).toBe(true);
});

test('null comes first; a prefix bounds exactly what begins with it', () => {
  fc.assert(
    fc.property(text, (a) => {
      expect(keyPart('text', true, null) < keyPart('text', true, a)).toBe(true);
    }),
  );
  fc.assert(
    fc.property(text, text, (value, prefix) => {
      const [key, low] = [keyPart('text', false, value), keyPrefix(false, prefix)];
      const high = afterPrefix(low);
      expect(key >= low && (high === undefined || key < high)).toBe(value.startsWith(prefix));
    }),
  );
});

test('packed data comes back, and no damage to it throws', () => {
  const plain: fc.Arbitrary<Plain> = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      fc.constant(null),
      fc.boolean(),
      float,
      fc.maxSafeInteger(),
      int64.map(normalInt),
      text,
      fc.uint8Array(),
      fc.array(tie('node')),
      fc.dictionary(
        text.filter((k) => k !== '__proto__'),
        tie('node'),
      ),
    ),
  })).node as fc.Arbitrary<Plain>;
  fc.assert(
    fc.property(plain, fc.nat(), fc.nat(255), (value, at, byte) => {
      const bytes = pack(value);
      const back = unpack(bytes);
      expect(back.ok && pack(back.value)).toEqual(bytes);
      const damaged = bytes.slice();
      damaged[at % damaged.length] = byte;
      const other = unpack(damaged);
      if (other.ok) expect(pack(other.value)).toEqual(damaged);
      expect(unpack(bytes.subarray(0, at % bytes.length)).ok).toBe(false);
    }),
  );
});

test('canonical JSON is RFC 8785', () => {
  const value = {
    '\u20ac': 'Euro',
    '\r': 1,
    1: 'One',
    '\u{1f600}': 'x',
    '\ufb33': 0.000001,
    ö: [1e21, -0, 333333333.3333333],
  };
  expect(canonicalJson(value)).toBe(
    '{"\\r":1,"1":"One","ö":[1e+21,0,333333333.3333333],"€":"Euro","😀":"x","\ufb33":0.000001}',
  );
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (any) => {
      fc.pre(isJsonValue(any));
      const once = canonicalJson(any as JsonValue);
      expect(canonicalJson(parseCanonicalJson(once))).toBe(once);
    }),
  );
  let deep: JsonValue = 1;
  for (let i = 0; i < 32; i++) deep = [deep];
  expect(isJsonValue(deep)).toBe(true);
  expect(isJsonValue([deep])).toBe(false);
});

test('ISO text is read without Date and agrees with it', () => {
  const range = { min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true };
  fc.assert(
    fc.property(fc.date(range), (date) => {
      expect(BigInt(parseIsoTimestamp(date.toISOString()) ?? 0)).toBe(BigInt(date.getTime()) * 1000n);
    }),
  );
  expect(parseIsoTimestamp('2026-11-23')).toBe(Date.UTC(2026, 10, 23) * 1000);
  expect(parseIsoTimestamp('2026-11-23T07:05:09.000001+01:30')).toBe(Date.UTC(2026, 10, 23, 5, 35, 9) * 1000 + 1);
  for (const bad of [
    '2026-02-29',
    '2026-13-01',
    '2026-1-1',
    '2026-01-01T24:00Z',
    '2026-01-01T00:00',
    'now',
    '2100-02-29',
  ]) {
    expect(parseIsoTimestamp(bad)).toBeUndefined();
  }
});

test('base64 and decimal strings have one form each', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
      expect(parseBase64(toBase64(bytes))).toEqual(bytes);
    }),
  );
  for (const bad of ['a', 'ab', 'abc', 'ab==', 'A===', 'aa=a', 'YR==', '****'])
    expect(parseBase64(bad)).toBeUndefined();
  expect(parseInt64('9223372036854775807')).toBe(9223372036854775807n);
  expect(parseInt64('9007199254740991')).toBe(9007199254740991);
  for (const bad of ['9223372036854775808', '01', '-0x1', '', '1.0', ' 1', '+1', '1e3'])
    expect(parseInt64(bad)).toBeUndefined();
});

test('values become cells by the type of their column', () => {
  expect(Object.is(toCell('float', -0), 0)).toBe(true);
  expect(Object.is(toCell('int', -0), 0)).toBe(true);
  expect(toCell('int', '12')).toBe(12);
  expect(toCell('int', 1.5)).toBeUndefined();
  expect(toCell('int', 2n ** 63n)).toBeUndefined();
  expect(toCell('timestamp', '1970-01-01T00:00:01Z')).toBe(1_000_000);
  expect(toCell('bytes', 'AQI=')).toEqual(new Uint8Array([1, 2]));
  expect(toCell('text', 1)).toBeUndefined();
  expect(toCell('bool', 'true')).toBeUndefined();
  expect(showCell('json', toCell('json', { b: 1, a: [null] }) ?? null)).toEqual({ a: [null], b: 1 });
  const mine = new Uint8Array([1, 2]);
  const kept = toCell('bytes', mine);
  mine[0] = 9;
  expect(kept).toEqual(new Uint8Array([1, 2]));
  expect(toJson({ a: 2n ** 60n, b: new Uint8Array([1]), c: undefined })).toEqual({
    a: '1152921504606846976',
    b: 'AQ==',
  });
});

test('digests add and subtract modulo 2^128', () => {
  const lane = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const lanes = fc.tuple(lane, lane, lane, lane);
  const big = (d: Digest): bigint => BigInt(`0x${d.hex()}`);
  fc.assert(
    fc.property(lanes, lanes, (a, b) => {
      const [x, y] = [new Digest(...a), new Digest(...b)];
      const sum = x.copy();
      sum.add(y);
      expect(big(sum)).toBe((big(x) + big(y)) % 2n ** 128n);
      sum.subtract(y);
      expect(sum.hex()).toBe(x.hex());
    }),
  );
});
