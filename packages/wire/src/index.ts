export type * from './client-message.ts';
export { type Codec, type CodecOptions, createCodec } from './codec.ts';
export { frameHeaderBytes } from './frame.ts';
export * from './limits.ts';
export type { PeerHello } from './peer-hello.ts';
export type { WireError, WireErrorCode } from './wire-error.ts';
