import { describe, expect, it } from 'vitest';
import {
  clusterId,
  decodePrepare,
  decodePrepareHeader,
  encodePrepareHeader,
  makePrepare,
  prepareBody,
  prepareHeaderBytes,
  randomInt,
  randomU32,
  rootHeader,
  seedRandom,
  sha256Hasher,
} from '../src/index.ts';

const cluster = clusterId('ab'.repeat(16));
const root = rootHeader(cluster, sha256Hasher);
const body = Uint8Array.from({ length: 40 }, (_, i) => i);
const prepare = makePrepare({ cluster, op: 1, view: 3, parent: root.id, timestamp: 17, body }, sha256Hasher);

describe('prepare', () => {
  it('decodes to what was made, header alone and whole', () => {
    const whole = decodePrepare(prepare.bytes, sha256Hasher);
    expect(whole).toEqual({ ok: true, value: prepare });
    expect(prepareBody(prepare)).toEqual(body);
    const header = encodePrepareHeader(prepare.header);
    expect(header).toEqual(prepare.bytes.subarray(0, prepareHeaderBytes));
    expect(decodePrepareHeader(header, sha256Hasher)).toEqual({ ok: true, value: prepare.header });
  });

  it('every flipped bit is found, but for zeros the header does not use', () => {
    for (let bit = 0; bit < prepare.bytes.length * 8; bit++) {
      const damaged = prepare.bytes.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(decodePrepare(damaged, sha256Hasher).ok, `bit ${bit}`).toBe(false);
    }
  });

  it('ids differ by cluster, view, parent, timestamp and body (pitfall 10)', () => {
    const fields = { cluster, op: 1, view: 3, parent: root.id, timestamp: 17, body };
    const ids = [
      fields,
      { ...fields, cluster: 'cd'.repeat(16) },
      { ...fields, op: 2 },
      { ...fields, view: 4 },
      { ...fields, parent: prepare.header.id },
      { ...fields, timestamp: 18 },
      { ...fields, body: body.subarray(1) },
    ].map((variant) => makePrepare(variant, sha256Hasher).header.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(rootHeader(clusterId('cd'.repeat(16)), sha256Hasher).id).not.toBe(root.id);
  });

  it('truncated and overlong bytes are refused', () => {
    for (const length of [0, 16, 127, 128, prepare.bytes.length - 1]) {
      expect(decodePrepare(prepare.bytes.subarray(0, length), sha256Hasher).ok).toBe(false);
    }
    expect(decodePrepare(Uint8Array.from([...prepare.bytes, 0]), sha256Hasher).ok).toBe(false);
  });
});

describe('seeded generator', () => {
  it('the same seed gives the same numbers, neighbours do not', () => {
    const draw = (seed: number): number[] => {
      const state = seedRandom(seed);
      return Array.from({ length: 8 }, () => randomU32(state));
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7).some((value, i) => value === draw(8)[i])).toBe(false);
  });

  it('randomInt reaches both ends of its range and nothing else', () => {
    const state = seedRandom(1);
    const seen = new Set(Array.from({ length: 500 }, () => randomInt(state, 3, 6)));
    expect([...seen].sort()).toEqual([3, 4, 5, 6]);
  });
});
