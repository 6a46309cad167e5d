import {
  type Crc32,
  crc32,
  frameBytesMax,
  type Hasher,
  ok,
  type Result,
  sha256Hasher,
  unreachable,
} from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { z } from 'zod';
import type { ClientMessage, ServerMessage } from './client-message.ts';
import { clientFrameSchema, serverFrameSchema } from './client-schemas.ts';
import { frameHeaderBytes, openFrame, sealFrame } from './frame.ts';
import { messagesPerFrameMax } from './limits.ts';
import { packFrameBody, unpack } from './msgpack.ts';
import { countMessages, gatherAnswers, gatherQueries, spreadAnswers, spreadQueries } from './runs.ts';
import { decodePeerBody, encodePeerBody, incarnationOfBody } from './peer-codec.ts';
import { decodePeerHelloBody, type PeerHello } from './peer-hello.ts';
import { type WireError, wireError } from './wire-error.ts';

/** Frames in both directions of both kinds of connection. Decoders never throw and keep nothing of the frame. */
export interface Codec {
  /** `incarnation` of the sender; left out: the first. */
  readonly encodePeerMessage: (message: Message, incarnation?: number) => Uint8Array;
  /** Of the sender of a frame that could be decoded; anything for other bytes. */
  readonly peerIncarnation: (frame: Uint8Array) => number;
  readonly decodePeerMessage: (frame: Uint8Array) => Result<Message, WireError>;
  readonly encodePeerHello: (hello: PeerHello) => Uint8Array;
  readonly decodePeerHello: (frame: Uint8Array) => Result<PeerHello, WireError>;
  readonly encodeClientFrame: (messages: readonly ClientMessage[]) => Uint8Array;
  readonly decodeClientFrame: (frame: Uint8Array) => Result<readonly ClientMessage[], WireError>;
  readonly encodeServerFrame: (messages: readonly ServerMessage[]) => Uint8Array;
  /** As few frames as the bounds on one allow, in order: for what one turn produced, however much that is. */
  readonly encodeClientFrames: (messages: readonly ClientMessage[]) => readonly Uint8Array[];
  readonly encodeServerFrames: (messages: readonly ServerMessage[]) => readonly Uint8Array[];
  readonly decodeServerFrame: (frame: Uint8Array) => Result<readonly ServerMessage[], WireError>;
}

export interface CodecOptions {
  /** Defaults to the one in plain JavaScript; the node passes the platform's. */
  readonly crc32?: Crc32;
  readonly hasher?: Hasher;
}

function parseWith<T>(schema: z.ZodType<T>, body: Uint8Array): Result<T, WireError> {
  const value = unpack(body);
  if (!value.ok) return value;
  const parsed = schema.safeParse(value.value);
  return parsed.success ? ok(parsed.data) : wireError('shape', z.prettifyError(parsed.error).slice(0, 512));
}

/** What the runs of a frame stand for. All of them together are within the bound that the frame is. */
function spread<Packed extends Parameters<typeof countMessages>[0], Message>(
  packed: Result<Packed, WireError>,
  spreadOut: (packed: Packed) => readonly Message[],
): Result<readonly Message[], WireError> {
  if (!packed.ok) return packed;
  const count = countMessages(packed.value);
  if (count <= messagesPerFrameMax) return ok(spreadOut(packed.value));
  return wireError('shape', `a frame of ${count} messages; at most ${messagesPerFrameMax} are allowed`);
}

/** More than the fields of a message take beside its body, or beside its texts where it has any. */
const fieldsBytesMax = 512;
const textsBytesMax = 65_536;

function clientWeight(message: ClientMessage): number {
  switch (message.type) {
    case 'request':
      return fieldsBytesMax + message.request.body.length;
    case 'query':
      return fieldsBytesMax + message.query.body.length;
    case 'hello':
    case 'status':
      return fieldsBytesMax;
    default:
      return unreachable(message);
  }
}

function serverWeight(message: ServerMessage): number {
  if (message.type === 'view') return fieldsBytesMax;
  if (message.type !== 'reply') return textsBytesMax;
  const { reply } = message;
  if (reply.type === 'outcome' || reply.type === 'answer') return fieldsBytesMax + reply.body.length;
  return reply.type === 'refused' || reply.type === 'query-refused'
    ? fieldsBytesMax + 3 * (reply.refusal.message?.length ?? 0)
    : fieldsBytesMax;
}

function groupByWeight<T>(messages: readonly T[], weigh: (message: T) => number): T[][] {
  const groups: T[][] = [];
  let group: T[] = [];
  let weight = frameHeaderBytes;
  for (const message of messages) {
    const more = weigh(message);
    if (group.length > 0 && (weight + more > frameBytesMax || group.length === messagesPerFrameMax)) {
      groups.push(group);
      group = [];
      weight = frameHeaderBytes;
    }
    group.push(message);
    weight += more;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

export function createCodec(options: CodecOptions = {}): Codec {
  const checksum = options.crc32 ?? crc32;
  const hasher = options.hasher ?? sha256Hasher;
  const clientFrame = (messages: readonly ClientMessage[]): Uint8Array =>
    sealFrame('client', packFrameBody(gatherQueries(messages)), checksum);
  const serverFrame = (messages: readonly ServerMessage[]): Uint8Array =>
    sealFrame('server', packFrameBody(gatherAnswers(messages)), checksum);
  return {
    encodePeerMessage: (message, incarnation = 0) => sealFrame('peer', encodePeerBody(message, incarnation), checksum),
    peerIncarnation: (frame) => incarnationOfBody(frame.subarray(frameHeaderBytes)),
    decodePeerMessage: (frame) => {
      const body = openFrame('peer', frame, checksum);
      return body.ok ? decodePeerBody(body.value, hasher) : body;
    },
    encodePeerHello: (hello) => sealFrame('peer-hello', packFrameBody(hello), checksum),
    decodePeerHello: (frame) => {
      const body = openFrame('peer-hello', frame, checksum);
      return body.ok ? decodePeerHelloBody(body.value) : body;
    },
    encodeClientFrame: clientFrame,
    encodeClientFrames: (messages) => groupByWeight(messages, clientWeight).map(clientFrame),
    decodeClientFrame: (frame) => {
      const body = openFrame('client', frame, checksum);
      return body.ok ? spread(parseWith(clientFrameSchema, body.value), spreadQueries) : body;
    },
    encodeServerFrame: serverFrame,
    encodeServerFrames: (messages) => groupByWeight(messages, serverWeight).map(serverFrame),
    decodeServerFrame: (frame) => {
      const body = openFrame('server', frame, checksum);
      return body.ok ? spread(parseWith(serverFrameSchema, body.value), spreadAnswers) : body;
    },
  };
}
