import { toHex } from '@kimberlite/base';

// How golden bytes are kept: as text that a review can read. An entry is three lines: its name, what it says as JSON, its
// bytes as base64. Entries are parted by blank lines.

export interface Entry {
  readonly name: string;
  /** JSON of what the bytes decode to. */
  readonly says: string;
  readonly bytes: Uint8Array;
}

/** One text for equal values: fields by name, bytes as hex, maps as lists of pairs. */
export function show(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item instanceof Uint8Array) return { hex: toHex(item) };
    if (item instanceof Map) return [...item];
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export const writeEntries = (entries: readonly Entry[]): string =>
  entries.map(({ name, says, bytes }) => `${name}\n${says}\n${Buffer.from(bytes).toString('base64')}\n`).join('\n');

export const readEntries = (text: string): readonly Entry[] =>
  text.split('\n\n').map((block) => {
    const [name = '', says = '', base64 = ''] = block.split('\n');
    return { name, says, bytes: new Uint8Array(Buffer.from(base64, 'base64')) };
  });

/** A file by its size and what is not zero in it, for most of a log is preallocated zeros. */
export interface SparseFile {
  readonly file: string;
  readonly sizeBytes: number;
  readonly pieces: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
}

const pieceBytes = 512;

export function sparseFile(file: string, bytes: Uint8Array): SparseFile {
  const pieces: SparseFile['pieces'][number][] = [];
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) {
    const piece = bytes.subarray(offset, offset + pieceBytes);
    if (piece.every((byte) => byte === 0)) continue;
    let end = piece.length;
    while (piece[end - 1] === 0) end--;
    pieces.push({ offset, bytes: piece.subarray(0, end) });
  }
  return { file, sizeBytes: bytes.length, pieces };
}

export const writeFiles = (files: readonly SparseFile[]): string =>
  files
    .map(({ file, sizeBytes, pieces }) => {
      const lines = pieces.map(({ offset, bytes }) => `${offset} ${Buffer.from(bytes).toString('base64')}\n`);
      return `${file} ${sizeBytes}\n${lines.join('')}`;
    })
    .join('\n');

export const readFiles = (text: string): readonly SparseFile[] =>
  text.split('\n\n').map((block) => {
    const [head = '', ...lines] = block.split('\n').filter((line) => line !== '');
    const [file = '', size = ''] = head.split(' ');
    const pieces = lines.map((line) => {
      const [offset = '', base64 = ''] = line.split(' ');
      return { offset: Number(offset), bytes: new Uint8Array(Buffer.from(base64, 'base64')) };
    });
    return { file, sizeBytes: Number(size), pieces };
  });
