import { err, ok, type Result } from '@kimberlite/base';

/** Says what a parsed JSON value is, or at which place it is not what it should be. */
export type Shape<T> = (value: unknown, at: string) => Result<T, string>;

type Shapes<T> = { readonly [Key in keyof T]-?: Shape<T[Key]> };

const wrong = (at: string, what: string): Result<never, string> => err(`${at === '' ? 'it' : at} is not ${what}`);

export const number: Shape<number> = (value, at) =>
  typeof value === 'number' && Number.isFinite(value) ? ok(value) : wrong(at, 'a number');

/** A count, an index or a time: never negative, never a fraction. */
export const whole: Shape<number> = (value, at) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? ok(value) : wrong(at, 'a whole number');

export const text: Shape<string> = (value, at) => (typeof value === 'string' ? ok(value) : wrong(at, 'text'));

export const flag: Shape<boolean> = (value, at) =>
  typeof value === 'boolean' ? ok(value) : wrong(at, 'true or false');

export const oneOf =
  <const T extends string>(words: readonly T[]): Shape<T> =>
  (value, at) => {
    const found = words.find((word) => word === value);
    return found === undefined ? wrong(at, `one of ${words.join(', ')}`) : ok(found);
  };

export const orNull =
  <T>(shape: Shape<T>): Shape<T | null> =>
  (value, at) =>
    value === null ? ok(null) : shape(value, at);

/** May be left out of its object. */
export const optional =
  <T>(shape: Shape<T>): Shape<T | undefined> =>
  (value, at) =>
    value === undefined ? ok(undefined) : shape(value, at);

export const listOf =
  <T>(item: Shape<T>, itemsMax: number): Shape<readonly T[]> =>
  (value, at) => {
    if (!Array.isArray(value)) return wrong(at, 'a list');
    if (value.length > itemsMax) return wrong(at, `a list of at most ${itemsMax}`);
    const items: T[] = [];
    for (const [index, one] of value.entries()) {
      const read = item(one, `${at}[${index}]`);
      if (!read.ok) return read;
      items.push(read.value);
    }
    return ok(items);
  };

export const nullOr =
  <T>(item: Shape<T>): Shape<T | null> =>
  (value, at) =>
    value === null ? ok(null) : item(value, at);

export const pairOf =
  <T>(item: Shape<T>): Shape<readonly [T, T]> =>
  (value, at) => {
    const read = listOf(item, 2)(value, at);
    if (!read.ok) return read;
    const [first, second, ...rest] = read.value;
    return first === undefined || second === undefined || rest.length > 0 ? wrong(at, 'a pair') : ok([first, second]);
  };

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An object with these fields and no others: a misspelt one is an error, not a default. */
export const objectOf =
  <T extends object>(shapes: Shapes<T>): Shape<T> =>
  (value, at) => {
    if (!isObject(value)) return wrong(at, 'an object');
    const inside = (key: string): string => (at === '' ? key : `${at}.${key}`);
    const stray = Object.keys(value).find((key) => !Object.hasOwn(shapes, key));
    if (stray !== undefined) return err(`${inside(stray)} is not known here`);
    const made: Record<string, unknown> = {};
    for (const [key, shape] of Object.entries<Shape<unknown>>(shapes)) {
      const read = shape(value[key], inside(key));
      if (!read.ok) return read;
      if (read.value !== undefined) made[key] = read.value;
    }
    // Every field was read by its own shape, and `Shapes` has one for each field of T.
    return ok(made as T);
  };
