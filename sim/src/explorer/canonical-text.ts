import { compareText, type Prepare, type PrepareHeader, toHex } from '@kimberlite/base';

// One text per value: maps and sets by key, objects by field name, so that how a value came about leaves no trace.

const compareKeys = (a: unknown, b: unknown): number =>
  typeof a === 'number' && typeof b === 'number' ? a - b : compareText(String(a), String(b));

const isPrepare = (value: object): value is Prepare => 'bytes' in value && 'header' in value;
const isHeader = (value: object): value is PrepareHeader => 'bodyChecksum' in value && 'id' in value;

/**
 * Writes values as text. Objects that never change (messages, prepares, slots, entries of logs: everything whose fields
 * are read-only) are written once and remembered; `mutable` values are written anew each time.
 */
export class CanonicalText {
  private readonly known = new WeakMap<object, string>();
  private readonly remember: boolean;

  constructor(remember = true) {
    this.remember = remember;
  }

  of(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return `"${value.length}:${value}`;
      case 'number':
      case 'boolean':
        return `${String(value)};`;
      case 'undefined':
        return 'u';
      case 'object':
        return value === null ? 'n' : this.ofObject(value);
      default:
        throw new Error(`a ${typeof value} has no canonical text`);
    }
  }

  /** Of an object whose fields may be assigned later: it is not remembered. */
  ofMutable(value: object): string {
    const entries = Object.entries(value).sort(([a], [b]) => compareText(a, b));
    return `(${entries.map(([key, item]) => `${key}=${this.of(item)}`).join('')})`;
  }

  private ofObject(value: object): string {
    if (value instanceof Map) return this.ofMap(value, (item) => this.of(item));
    if (value instanceof Set) return value.size === 0 ? '<>' : `<${this.sorted(value)}>`;
    if (value instanceof Uint8Array) return `x${toHex(value)};`;
    const known = this.known.get(value);
    if (known !== undefined) return known;
    // An array may grow; its items are remembered.
    if (Array.isArray(value)) return `[${value.map((item) => this.of(item)).join('')}]`;
    // The id is a digest of everything else in a header, and through it of the body.
    const text = isPrepare(value) ? `P${value.header.id}` : isHeader(value) ? `H${value.id}` : this.ofMutable(value);
    if (this.remember) this.known.set(value, text);
    return text;
  }

  ofMap<K, V>(map: ReadonlyMap<K, V>, write: (item: V) => string): string {
    if (map.size === 0) return '{}';
    const entries = map.size === 1 ? [...map] : [...map].sort(([a], [b]) => compareKeys(a, b));
    return `{${entries.map(([key, item]) => this.of(key) + write(item)).join('')}}`;
  }

  private sorted(set: ReadonlySet<unknown>): string {
    return [...set]
      .sort(compareKeys)
      .map((item) => this.of(item))
      .join('');
  }
}
