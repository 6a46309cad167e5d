import { utf8Length } from '@kimberlite/base';

/** The longest beginning of `text`, by whole characters, within that many bytes of UTF-8. */
export function truncateUtf8(text: string, bytesMax: number): string {
  if (utf8Length(text) <= bytesMax) return text;
  let kept = '';
  let bytes = 3; // the ellipsis
  for (const character of text) {
    bytes += utf8Length(character);
    if (bytes > bytesMax) break;
    kept += character;
  }
  return `${kept}…`;
}
