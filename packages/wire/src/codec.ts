import {
  type Crc32,
  crc32,
  frameBytesMax,
  type Hasher,
  ok,
  ownVersions,
  type Result,
  sha256Hasher,
  unreachable,
  type VersionRange,
} from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { z } from 'zod';
import type { ClientMessage, ServerMessage } from './client-message.ts';
import { clientFrameSchema, clientGreetingSchema, serverFrameSchema, serverGreetingSchema } from './client-schemas.ts';
import { frameHeaderBytes, type FrameKind, greetingVersion, type Opened, openFrame, sealFrame } from './frame.ts';
import { messagesPerFrameMax } from './limits.ts';
import { packFrameBody, unpack } from './msgpack.ts';
import { countMessages, gatherAnswers, gatherQueries, spreadAnswers, spreadQueries } from './runs.ts';
import { decodePeerBody, encodePeerBody, incarnationOfBody } from './peer-codec.ts';
import { decodePeerHelloBody, type PeerHello } from './peer-hello.ts';
import { type WireError, wireError } from './wire-error.ts';

/**
 * Frames in both directions of both kinds of connection. Decoders never throw and keep nothing of the frame. `version`
 * is what the two ends of the connection have agreed on; left out: the newest there is.
 */
export interface Codec {
  /** What it reads, and can be asked to write. */
  readonly versions: VersionRange;
  /** `incarnation` of the sender; left out: the first. */
  readonly encodePeerMessage: (message: Message, incarnation?: number, version?: number) => Uint8Array;
  /** Of the sender of a frame that could be decoded; anything for other bytes. */
  readonly peerIncarnation: (frame: Uint8Array) => number;
  readonly decodePeerMessage: (frame: Uint8Array) => Result<Message, WireError>;
  readonly encodePeerHello: (hello: PeerHello) => Uint8Array;
  readonly decodePeerHello: (frame: Uint8Array) => Result<PeerHello, WireError>;
  readonly encodeClientFrame: (messages: readonly ClientMessage[], version?: number) => Uint8Array;
  readonly decodeClientFrame: (frame: Uint8Array) => Result<readonly ClientMessage[], WireError>;
  readonly encodeServerFrame: (messages: readonly ServerMessage[], version?: number) => Uint8Array;
  /** As few frames as the bounds on one allow, in order: for what one turn produced, however much that is. */
  readonly encodeClientFrames: (messages: readonly ClientMessage[], version?: number) => readonly Uint8Array[];
  readonly encodeServerFrames: (messages: readonly ServerMessage[], version?: number) => readonly Uint8Array[];
  readonly decodeServerFrame: (frame: Uint8Array) => Result<readonly ServerMessage[], WireError>;
}

export interface CodecOptions {
  /** Defaults to the one in plain JavaScript; the node passes the platform's. */
  readonly crc32?: Crc32;
  readonly hasher?: Hasher;
  /** Left out: those of this release. */
  readonly versions?: VersionRange;
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

/** Understood whatever version a side speaks (see `frame.ts`): `status` has no fields. */
const isClientGreeting = ({ type }: ClientMessage): boolean => type === 'hello' || type === 'status';
const isServerGreeting = ({ type }: ServerMessage): boolean => type === 'welcome' || type === 'error';

/** Neighbours of the same kind together: greetings travel in frames of their own. */
function groupByGreeting<T>(messages: readonly T[], isGreeting: (message: T) => boolean): readonly (readonly T[])[] {
  const first = messages.findIndex(isGreeting);
  if (first < 0) return [messages];
  const end = messages.findIndex((message, i) => i > first && !isGreeting(message));
  const [before, greetings] = [messages.slice(0, first), messages.slice(first, end < 0 ? undefined : end)];
  const after = end < 0 ? [] : groupByGreeting(messages.slice(end), isGreeting);
  return [before, greetings, ...after].filter((group) => group.length > 0);
}

export function createCodec(options: CodecOptions = {}): Codec {
  const { crc32: checksum = crc32, hasher = sha256Hasher, versions = ownVersions } = options;
  const { newest } = versions;
  const open = (kind: FrameKind, frame: Uint8Array): Result<Opened, WireError> =>
    openFrame(frame, { kind, crc32: checksum, versions });
  const clientFrame = (messages: readonly ClientMessage[], version = newest): Uint8Array => {
    const spoken = messages.every(isClientGreeting) ? greetingVersion : version;
    return sealFrame('client', spoken, packFrameBody(gatherQueries(messages)), checksum);
  };
  const serverFrame = (messages: readonly ServerMessage[], version = newest): Uint8Array => {
    const spoken = messages.every(isServerGreeting) ? greetingVersion : version;
    return sealFrame('server', spoken, packFrameBody(gatherAnswers(messages)), checksum);
  };
  return {
    versions,
    encodePeerMessage: (message, incarnation = 0, version = newest) =>
      sealFrame('peer', version, encodePeerBody(message, incarnation), checksum),
    peerIncarnation: (frame) => incarnationOfBody(frame.subarray(frameHeaderBytes)),
    decodePeerMessage: (frame) => {
      const opened = open('peer', frame);
      if (!opened.ok) return opened;
      const { version, body } = opened.value;
      if (version === greetingVersion) return wireError('version', 'a message between replicas is no greeting');
      return decodePeerBody(body, hasher);
    },
    encodePeerHello: (hello) => sealFrame('peer-hello', greetingVersion, packFrameBody(hello), checksum),
    decodePeerHello: (frame) => {
      const opened = open('peer-hello', frame);
      return opened.ok ? decodePeerHelloBody(opened.value.body) : opened;
    },
    encodeClientFrame: clientFrame,
    encodeClientFrames: (messages, version) =>
      groupByWeight(messages, clientWeight).map((group) => clientFrame(group, version)),
    decodeClientFrame: (frame) => {
      const opened = open('client', frame);
      if (!opened.ok) return opened;
      const { version, body } = opened.value;
      if (version === greetingVersion) return parseWith(clientGreetingSchema, body);
      return spread(parseWith(clientFrameSchema, body), spreadQueries);
    },
    encodeServerFrame: serverFrame,
    encodeServerFrames: (messages, version) =>
      groupByGreeting(messages, isServerGreeting)
        .flatMap((group) => groupByWeight(group, serverWeight))
        .map((group) => serverFrame(group, version)),
    decodeServerFrame: (frame) => {
      const opened = open('server', frame);
      if (!opened.ok) return opened;
      const { version, body } = opened.value;
      if (version === greetingVersion) return parseWith(serverGreetingSchema, body);
      return spread(parseWith(serverFrameSchema, body), spreadAnswers);
    },
  };
}
