/**
 * UTF-8 without TextEncoder, which is no part of the language and so not of the pure packages.
 * `encodeUtf8` expects well-formed text; `isWellFormed` says whether it is.
 */
export function utf8Length(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) length += 1;
    else if (unit < 0x800) length += 2;
    else if (unit >= 0xd800 && unit < 0xdc00) {
      length += 4;
      i++;
    } else length += 3;
  }
  return length;
}

/** Writes `text` at `offset` and returns the offset behind it. A lone surrogate becomes U+FFFD. */
export function encodeUtf8Into(text: string, target: Uint8Array, offset: number): number {
  let at = offset;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      target[at++] = code;
      continue;
    }
    if (code >= 0xd800 && code < 0xe000) {
      const low = code < 0xdc00 ? text.charCodeAt(i + 1) : 0;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        i++;
      } else code = 0xfffd;
    }
    if (code < 0x800) target[at++] = 0xc0 | (code >> 6);
    else {
      if (code < 0x10000) target[at++] = 0xe0 | (code >> 12);
      else {
        target[at++] = 0xf0 | (code >> 18);
        target[at++] = 0x80 | ((code >> 12) & 0x3f);
      }
      target[at++] = 0x80 | ((code >> 6) & 0x3f);
    }
    target[at++] = 0x80 | (code & 0x3f);
  }
  return at;
}

export function encodeUtf8(text: string): Uint8Array {
  // Three bytes a UTF-16 unit is the most there can be; the slice gives the excess back.
  const target = new Uint8Array(text.length * 3);
  return target.slice(0, encodeUtf8Into(text, target, 0));
}

/** Bytes below 0x80 that become text at once. More in one call take a list of arguments, which costs more than the text. */
const asciiBlock = 16;

/**
 * The text that these bytes begin with, as far as they are below 0x80, in whole blocks. Put together from pieces and
 * made one string at once: a tree of pieces would take several times the memory for as long as it is kept.
 */
function asciiText(b: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i + asciiBlock <= end; i += asciiBlock) {
    const [b0, b1, b2, b3] = [b[i] as number, b[i + 1] as number, b[i + 2] as number, b[i + 3] as number];
    const [b4, b5, b6, b7] = [b[i + 4] as number, b[i + 5] as number, b[i + 6] as number, b[i + 7] as number];
    const [b8, b9, ba, bb] = [b[i + 8] as number, b[i + 9] as number, b[i + 10] as number, b[i + 11] as number];
    const [bc, bd, be, bf] = [b[i + 12] as number, b[i + 13] as number, b[i + 14] as number, b[i + 15] as number];
    if ((b0 | b1 | b2 | b3 | b4 | b5 | b6 | b7 | b8 | b9 | ba | bb | bc | bd | be | bf) >= 0x80) break;
    text += String.fromCharCode(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, ba, bb, bc, bd, be, bf);
  }
  return text;
}

/** UTF-16 units that become text at once: arguments of one call. */
const unitsMax = 1_024;
const units = new Array<number>(unitsMax).fill(0);

/**
 * Decodes strictly: `undefined` for anything that is not well-formed UTF-8 (overlong forms and surrogates included).
 * Text is made of many units at once, because one put together unit by unit is a tree as long as the text.
 */
export function decodeUtf8(bytes: Uint8Array, start = 0, end: number = bytes.length): string | undefined {
  let text = asciiText(bytes, start, end);
  const isPieces = text.length > asciiBlock;
  let count = 0;
  let i = start + text.length;
  while (i < end) {
    if (count >= unitsMax - 1) {
      text += Reflect.apply(String.fromCharCode, null, units.slice(0, count));
      count = 0;
    }
    const first = bytes[i] as number;
    if (first < 0x80) {
      units[count++] = first;
      i += 1;
      continue;
    }
    const extra = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || i + extra >= end) return undefined;
    let code = first & (0x3f >> extra);
    for (let k = 1; k <= extra; k++) {
      const next = bytes[i + k] as number;
      if ((next & 0xc0) !== 0x80) return undefined;
      code = (code << 6) | (next & 0x3f);
    }
    if (code < (extra === 1 ? 0x80 : extra === 2 ? 0x800 : 0x10000)) return undefined;
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
    if (code >= 0x10000) {
      units[count++] = 0xd7c0 + (code >> 10);
      units[count++] = 0xdc00 + (code & 0x3ff);
    } else units[count++] = code;
    i += extra + 1;
  }
  if (count > 0) text += Reflect.apply(String.fromCharCode, null, units.slice(0, count));
  // A tree of pieces becomes one string when it is asked for one of its units; this is true of all there are.
  return isPieces && text.charCodeAt(0) !== bytes[start] ? undefined : text;
}

/** As `decodeUtf8`; a platform's may take its place, which is several times as fast. */
export type DecodeText = (bytes: Uint8Array, start: number, end: number) => string | undefined;

/** True when `text` has no lone surrogate, so that it has exactly one UTF-8 form. */
export function isWellFormed(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xd800 || unit >= 0xe000) continue;
    if (unit >= 0xdc00) return false;
    const low = text.charCodeAt(i + 1);
    if (!(low >= 0xdc00 && low < 0xe000)) return false;
    i++;
  }
  return true;
}

/**
 * Orders text by its UTF-8 bytes, which is code point order. JavaScript's `<` orders by UTF-16 units
 * and puts U+10000 and above before U+E000.
 */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xSurrogate = x >= 0xd800 && x < 0xe000;
    const ySurrogate = y >= 0xd800 && y < 0xe000;
    if (xSurrogate === ySurrogate) return x < y ? -1 : 1;
    return xSurrogate ? 1 : -1;
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
}
