/** Lines kept when a trace is recorded; older ones are dropped so that a long run cannot fill the memory. */
export const traceLinesMax = 200_000;

/**
 * Digest of everything that happened, in order, and on demand one line an event. Two runs of one seed must
 * end with the same digest; if they do not, something in the run did not come from the seed.
 */
export interface Trace {
  /** Adds an event. `digest` stands for its content, `text` is only called when lines are recorded. */
  readonly event: (nowUs: number, kind: string, digest: number, text: () => string) => void;
  /** 64 bits as 16 hex digits over all events so far. */
  readonly hash: () => string;
  readonly lines: () => readonly string[];
  readonly events: () => number;
}

const kindDigests = new Map<string, number>();

/** FNV-1a over the UTF-16 units. */
export function digestText(text: string, seed = 0x811c9dc5): number {
  let h = seed | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** FNV-1a over bytes. Tells contents apart in a trace; it is no identity. */
export function digestBytes(bytes: Uint8Array, seed = 0x811c9dc5): number {
  let h = seed | 0;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ (bytes[i] as number), 0x01000193);
  return h >>> 0;
}

function digestOfKind(kind: string): number {
  const known = kindDigests.get(kind);
  if (known !== undefined) return known;
  const digest = digestText(kind);
  kindDigests.set(kind, digest);
  return digest;
}

const hex32 = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

export function formatUs(us: number): string {
  const seconds = Math.floor(us / 1_000_000);
  return `${seconds}.${String(Math.floor(us) % 1_000_000).padStart(6, '0')}`;
}

export function createTrace(recordLines: boolean): Trace {
  let low = 0x2545f491;
  let high = 0x9e3779b9;
  let count = 0;
  let kept: string[] = [];
  const mix = (value: number): void => {
    low = Math.imul(low ^ value, 0x85ebca6b);
    low ^= low >>> 15;
    high = Math.imul(high ^ low, 0xc2b2ae35) + value;
    high ^= high >>> 13;
  };
  return {
    event: (nowUs, kind, digest, text) => {
      count += 1;
      mix(nowUs >>> 0);
      mix(Math.floor(nowUs / 0x1_0000_0000));
      mix(digestOfKind(kind));
      mix(digest);
      if (!recordLines) return;
      if (kept.length >= traceLinesMax) kept = kept.slice(traceLinesMax / 2);
      kept.push(`${formatUs(nowUs)} ${kind} ${text()}`);
    },
    hash: () => hex32(high) + hex32(low),
    lines: () => kept,
    events: () => count,
  };
}
