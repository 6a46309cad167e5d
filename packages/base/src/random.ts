import { assert } from './assert.ts';

/**
 * A seeded generator whose whole state is one record of four numbers (xoshiro128**, Blackman and Vigna),
 * so that it can be part of a replica's state, cloned and encoded.
 */
export interface RandomState {
  a: number;
  b: number;
  c: number;
  d: number;
}

/** Spreads a seed over the state with splitmix32, so that neighbouring seeds give unrelated sequences. */
export function seedRandom(seed: number): RandomState {
  let s = (seed ^ Math.floor(seed / 0x1_0000_0000)) >>> 0;
  const next = (): number => {
    s = (s + 0x9e3779b9) >>> 0;
    let z = s;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  return { a: next(), b: next(), c: next(), d: next() | 1 };
}

const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0;

/** The next 32 bits; advances `state`. */
export function randomU32(state: RandomState): number {
  const result = Math.imul(rotl(Math.imul(state.b, 5) >>> 0, 7), 9) >>> 0;
  const t = (state.b << 9) >>> 0;
  state.c = (state.c ^ state.a) >>> 0;
  state.d = (state.d ^ state.b) >>> 0;
  state.b = (state.b ^ state.c) >>> 0;
  state.a = (state.a ^ state.d) >>> 0;
  state.c = (state.c ^ t) >>> 0;
  state.d = rotl(state.d, 11);
  return result;
}

/** Uniform in [0, 1). */
export const randomFloat = (state: RandomState): number => randomU32(state) / 0x1_0000_0000;

/** Uniform whole number in [low, high], both included. */
export function randomInt(state: RandomState, low: number, high: number): number {
  assert(high >= low, 'randomInt: the range is empty');
  return low + Math.floor(randomFloat(state) * (high - low + 1));
}

export const randomChance = (state: RandomState, probability: number): boolean => randomFloat(state) < probability;

export function randomPick<T>(state: RandomState, items: readonly T[]): T {
  assert(items.length > 0, 'randomPick: nothing to pick from');
  return items[randomInt(state, 0, items.length - 1)] as T;
}
