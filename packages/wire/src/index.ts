export type * from './client-message.ts';
export { type Codec, type CodecOptions, createCodec } from './codec.ts';
export { frameHeaderBytes } from './frame.ts';
export * from './limits.ts';
export type { PeerHello } from './peer-hello.ts';
export type { WireError, WireErrorCode } from './wire-error.ts';
export { decodeQueryAnswer, encodeQueryAnswer, type TypedAnswer } from './answers.ts';
export {
  type AdmissionError,
  batchOverheadBytes,
  checkCommands,
  decodeCommands,
  decodeQuery,
  encodeCommand,
  encodeCommands,
  encodeQuery,
  joinCommands,
} from './commands.ts';
export { parseJson, toBase64, toJson } from './json.ts';
export { decodeOutcomes, encodeOutcomes } from './outcomes.ts';
export { validate, validateQuery } from '@kimberlite/kernel';
export { createKernelStateMachine } from './kernel-state-machine.ts';
