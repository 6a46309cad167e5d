import { assert, frameBytesMax, nestingMax, prepareHeaderBytes } from '@kimberlite/base';

/** Containers inside containers in any msgpack body: a row's json value at its deepest, inside command, batch and message. */
export const msgpackDepthMax = 2 * nestingMax;

/** Messages in one client frame: more than one turn of either side produces. */
export const messagesPerFrameMax = 8192;

/** Prepare headers in one peer message; more than the longest undecided suffix, less than a frame. */
export const headersPerMessageMax = 4096;

/** Bytes of a text field of a peer message: a nonce or a hash. */
export const peerTextBytesMax = 255;

/** Characters of an address in a hello or a welcome. */
export const addressLengthMax = 512;

/** Characters of a message meant for people. */
export const messageTextLengthMax = 4096;

assert(
  headersPerMessageMax * (prepareHeaderBytes + 32) <= frameBytesMax,
  'the longest list of headers fits into a frame',
);
