export type * from './client-message.ts';
export { type Codec, type CodecOptions, createCodec } from './codec.ts';
export { describeDivergence } from './divergence-text.ts';
export { frameHeaderBytes } from './frame.ts';
export * from './limits.ts';
export type { PeerHello } from './peer-hello.ts';
export type { WireError, WireErrorCode } from './wire-error.ts';
export { decodeQueryAnswer, encodeQueryAnswer, type TypedAnswer } from './answers.ts';
export {
  type AdmissionError,
  batchOverheadBytes,
  decodeCommands,
  decodeQuery,
  encodeCommand,
  encodeCommands,
  encodeQuery,
  joinCommands,
  readCommands,
} from './commands.ts';
export { parseJson, toBase64, toJson } from './json.ts';
export { decodeOutcomes, encodeOutcomes } from './outcomes.ts';
export { validate, validateQuery } from '@kimberlite/kernel';
export { createKernelStateMachine, type KernelStateMachine } from './kernel-state-machine.ts';
