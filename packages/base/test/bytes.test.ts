import { createHash } from 'node:crypto';
import { TextDecoder } from 'node:util';
import { crc32 as platformCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareBytes,
  compareText,
  crc32,
  decodeUtf8,
  encodeUtf8,
  FixedReader,
  FixedWriter,
  hexOf128,
  isWellFormed,
  sha256,
  toHex,
  utf8Length,
} from '../src/index.ts';

const bytes = fc.uint8Array({ maxLength: 300 });
const anyText = fc.string({ unit: 'binary', maxLength: 60 });
const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 });

describe('checksums', () => {
  it('sha256 equals the platform at every padding length and on random bytes', () => {
    for (let length = 0; length < 200; length++) {
      const data = new Uint8Array(length).fill(length);
      expect(toHex(sha256(data))).toBe(createHash('sha256').update(data).digest('hex'));
    }
    fc.assert(fc.property(bytes, (data) => toHex(sha256(data)) === createHash('sha256').update(data).digest('hex')));
  });

  it('crc32 equals the platform, also continued from a seed', () => {
    fc.assert(fc.property(bytes, bytes, (a, b) => crc32(b, crc32(a)) === platformCrc32(b, platformCrc32(a))));
  });
});

describe('text', () => {
  it('UTF-8 round trips and equals the platform', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const encoded = encodeUtf8(text);
        expect(Buffer.from(encoded)).toEqual(Buffer.from(text, 'utf8'));
        expect(utf8Length(text)).toBe(encoded.length);
        expect(decodeUtf8(encoded)).toBe(text);
      }),
    );
  });

  it('decoding is as strict as the platform on arbitrary bytes', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const reference = (data: Uint8Array): string | undefined => {
      try {
        return strict.decode(data);
      } catch {
        return undefined;
      }
    };
    const nearlyText = fc.array(
      fc.constantFrom(0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xed, 0xa0, 0xef, 0xf0, 0xf4, 0x90, 0xff),
      {
        maxLength: 6,
      },
    );
    fc.assert(fc.property(bytes, (data) => decodeUtf8(data) === reference(data)));
    fc.assert(
      fc.property(nearlyText, (list) => decodeUtf8(Uint8Array.from(list)) === reference(Uint8Array.from(list))),
      { numRuns: 2000 },
    );
  });

  it('isWellFormed finds lone surrogates', () => {
    fc.assert(
      fc.property(units, (list) => {
        const text = String.fromCharCode(...list);
        expect(isWellFormed(text)).toBe(Buffer.from(text, 'utf8').toString('utf8') === text);
      }),
    );
    expect(isWellFormed('\ud800')).toBe(false);
  });

  it('compareText orders as the UTF-8 bytes do, where < does not', () => {
    const texts = ['\ue000', '\u{10000}'];
    expect(texts.toSorted()).toEqual(['\u{10000}', '\ue000']);
    expect(texts.toSorted(compareText)).toEqual(['\ue000', '\u{10000}']);
    fc.assert(
      fc.property(anyText, anyText, (a, b) => compareText(a, b) === compareBytes(encodeUtf8(a), encodeUtf8(b))),
    );
  });
});

describe('fixed fields', () => {
  it('reads back what was written', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.nat(0xffff), fc.nat(0xffff_ffff), fc.maxSafeNat(), bytes, (a, b, c, d, raw) => {
        const writer = new FixedWriter(31 + raw.length);
        writer.u8(a).u16(b).u32(c).u64(d).hex128('0123456789abcdef'.repeat(2)).raw(raw);
        const reader = new FixedReader(writer.bytes);
        expect([reader.u8(), reader.u16(), reader.u32(), reader.u64()]).toEqual([a, b, c, d]);
        expect(reader.hex128()).toBe('0123456789abcdef'.repeat(2));
        expect(reader.raw(raw.length)).toEqual(raw);
        expect(reader.failed).toBe(false);
        reader.u8();
        expect(reader.failed).toBe(true);
      }),
    );
  });

  it('writing past the end is a broken invariant', () => {
    const writer = new FixedWriter(3).u16(1);
    expect(() => writer.u16(2)).toThrow(/fit/);
    expect(() => new FixedWriter(7).u64(1)).toThrow(/fit/);
    expect(() => new FixedWriter(15).hex128('0'.repeat(32))).toThrow(/fit/);
  });

  it('the hex digits of 16 bytes are those of toHex, anywhere', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 40 }), fc.nat(), (data, n) => {
        const at = n % (data.length - 15);
        return hexOf128(data, at) === toHex(data.subarray(at, at + 16));
      }),
    );
  });

  it('a number beyond 2^53 - 1 is a failure and no exception', () => {
    const reader = new FixedReader(new Uint8Array(8).fill(0xff));
    expect(reader.u64()).toBe(0);
    expect(reader.failed).toBe(true);
  });
});
