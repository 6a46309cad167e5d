import { err } from '@kimberlite/base';

/**
 * Why bytes from outside were not taken.
 *
 * - `too-large`: more than `frameBytesMax`; said before anything is read
 * - `truncated`: shorter than its header says, or than a header
 * - `magic`: not a Kimberlite frame at all
 * - `version`: another version of the protocol
 * - `length`: longer than its header says
 * - `checksum`: damaged
 * - `kind`: an intact frame, but not of the kind expected on this connection
 * - `shape`: an intact frame whose content is not what its kind promises
 */
export type WireErrorCode = 'too-large' | 'truncated' | 'magic' | 'version' | 'length' | 'checksum' | 'kind' | 'shape';

export interface WireError {
  readonly code: WireErrorCode;
  /** For people: what was found and what was expected. */
  readonly message: string;
}

export const wireError = (code: WireErrorCode, message: string): { readonly ok: false; readonly error: WireError } =>
  err({ code, message });
