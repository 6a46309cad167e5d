import {
  assert,
  commandsPerRequestMax,
  concatBytes,
  err,
  ok,
  requestBodyBytesMax,
  type Result,
} from '@kimberlite/base';
import { type Command, type CommandInput, type KernelError, type Query, validate } from '@kimberlite/kernel';
import { pack, unpack, unpackViews } from './msgpack.ts';
import { type WireError, wireError } from './wire-error.ts';

// A request's body is a msgpack array of commands. Each command can be packed when it is issued and the
// packed ones joined when the batch closes, so that the size of a batch is known while it grows.

/** Bytes an array header may take in front of the commands of one request. */
export const batchOverheadBytes = 3;

/** One command of a request's body. Throws on what is no data: functions, symbols, cycles. */
export function encodeCommand(command: Command | CommandInput): Uint8Array {
  return pack(command);
}

/** Packed commands as one request's body. None: a body that does nothing, to use up a request number. */
export function joinCommands(packed: readonly Uint8Array[]): Uint8Array {
  const count = packed.length;
  assert(count <= commandsPerRequestMax, 'a request carries no more commands than its bound');
  const header = count < 16 ? Uint8Array.of(0x90 | count) : Uint8Array.of(0xdc, count >> 8, count & 0xff);
  return concatBytes([header, ...packed]);
}

export function encodeCommands(commands: readonly (Command | CommandInput)[]): Uint8Array {
  assert(commands.length <= commandsPerRequestMax, 'a request carries no more commands than its bound');
  return pack(commands);
}

/**
 * The commands of a request's body: plain objects, not yet valid commands; the kernel's `validate` says that. Byte
 * strings are views of the body: state copies what it keeps. Never throws, and gives the same result for the same
 * bytes everywhere.
 */
export function decodeCommands(body: Uint8Array): Result<readonly unknown[], WireError> {
  if (body.length > requestBodyBytesMax) {
    return wireError('too-large', `a request body of ${body.length} bytes; at most ${requestBodyBytesMax} are allowed`);
  }
  const value = unpackViews(body);
  if (!value.ok) return value;
  if (!Array.isArray(value.value)) return wireError('shape', 'a request body is not a list of commands');
  const commands: readonly unknown[] = value.value;
  if (commands.length > commandsPerRequestMax) {
    return wireError('shape', `a request of ${commands.length} commands; at most ${commandsPerRequestMax} are allowed`);
  }
  return ok(commands);
}

/** A query's body. */
export const encodeQuery = (query: Query): Uint8Array => pack(query);

/** A plain value, not yet a valid query; the kernel's `query` says that. Never throws. */
export const decodeQuery = (body: Uint8Array): Result<unknown, WireError> => unpack(body);

/** Why a request is not admitted: its bytes, or the first command that is not valid. */
export interface AdmissionError {
  readonly code: WireError['code'] | KernelError['code'];
  readonly message: string;
}

/**
 * The only validation between a client and the log: decodes a request's body and has the kernel look at every
 * command. What passes is replicated as it is.
 */
export function readCommands(body: Uint8Array): Result<readonly Command[], AdmissionError> {
  const commands = decodeCommands(body);
  if (!commands.ok) return commands;
  const valid: Command[] = [];
  for (const command of commands.value) {
    const checked = validate(command);
    if (checked.ok) valid.push(checked.value);
    else {
      const { code, message } = checked.error;
      return err({ code, message: commands.value.length === 1 ? message : `command ${valid.length + 1}: ${message}` });
    }
  }
  return ok(valid);
}
