import { frameBytesMax } from '@kimberlite/base';
import type { ClientOptions, ServerOptions } from 'ws';

/** The handshake of a connection, from dialling or accepting to the first frame that counts. */
export const handshakeTimeoutMs = 2000;

/** Connections on the peer port that have not introduced themselves yet. */
export const strangersMax = 64;

/** Between two looks at whether the other end is alive. */
export const livenessTickMs = 1000;

/**
 * Ticks without a sign of life after which a connection counts as dead. Ticks, not time: a process that was stopped
 * itself has not waited.
 */
export const peerSilentTicksMax = 3;
export const clientSilentTicksMax = 10;

/** How long a closing connection may take to say goodbye before it is cut. */
export const closeGraceMs = 1000;

/** Bytes of an HTTP upgrade request's headers. */
export const headerBytesMax = 16_384;

/** Compression costs more than it saves; binary frames need no check for UTF-8. */
export const serverSocketOptions = {
  noServer: true,
  perMessageDeflate: false,
  maxPayload: frameBytesMax,
  skipUTF8Validation: true,
  clientTracking: false,
} as const satisfies ServerOptions;

export const dialOptions = {
  perMessageDeflate: false,
  maxPayload: frameBytesMax,
  skipUTF8Validation: true,
  handshakeTimeout: handshakeTimeoutMs,
  followRedirects: false,
  // Masking protects proxies from bytes a web page chose. Between replicas there is no web page, and a mask of zeros
  // saves a copy and an XOR of every frame.
  generateMask: (mask: Buffer) => {
    mask.fill(0);
  },
} as const satisfies ClientOptions;
