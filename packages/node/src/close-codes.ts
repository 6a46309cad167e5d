import { truncateUtf8 } from './truncate.ts';

/** Why one replica does not accept another. Each is a close code of its own, so that both sides can say it. */
export type PeerRefusalCode =
  | 'wrong-version'
  | 'wrong-cluster'
  | 'wrong-replica'
  | 'wrong-limits'
  | 'forgotten'
  | 'wrong-secret'
  | 'bad-frame'
  | 'handshake-timeout'
  | 'replaced'
  | 'stopping';

export interface PeerRefusal {
  readonly code: PeerRefusalCode;
  /** A sentence for people, with what was found, what was expected, and the key to look at. */
  readonly message: string;
}

const closeCodes: { readonly [Code in PeerRefusalCode]: number } = {
  'wrong-version': 4001,
  'wrong-cluster': 4002,
  'wrong-replica': 4003,
  'wrong-limits': 4004,
  'wrong-secret': 4005,
  'bad-frame': 4006,
  'handshake-timeout': 4007,
  replaced: 4008,
  stopping: 4009,
  forgotten: 4010,
};

export const closeCodeOf = (code: PeerRefusalCode): number => closeCodes[code];

export function refusalOfCloseCode(closeCode: number): PeerRefusalCode | undefined {
  for (const [code, number] of Object.entries(closeCodes)) if (number === closeCode) return code as PeerRefusalCode;
  return undefined;
}

/** A close frame holds at most 123 bytes of reason. */
export const closeReason = (text: string): string => truncateUtf8(text, 123);
