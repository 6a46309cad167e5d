import { frameBytesMax, isNatural, replicasMax, requestBodyBytesMax } from '@kimberlite/base';
import type { ClientReply, Refusal, RefusalReason } from '@kimberlite/vsr';
import { z } from 'zod';
import type { ClientMessage, ConnectionErrorCode, MemberAddress, ServerMessage, StatusRow } from './client-message.ts';
import { addressLengthMax, messagesPerFrameMax, messageTextLengthMax } from './limits.ts';
import type { AnswerRun, Numbered, QueryRun } from './runs.ts';

// What a client connection may carry, checked once at the edge. The types in `client-message.ts` are the
// contract; at the end of this file the compiler proves that these schemas say the same, and a test pins a
// hash of them to the protocol version, so that neither changes alone.

/** A branded number or text: the check is the schema's, the brand is the proof that it passed. */
const natural = <T extends number>(): z.ZodType<T> => z.number().int().min(0) as unknown as z.ZodType<T>;
const hex128 = <T extends string>(): z.ZodType<T> => z.string().regex(/^[0-9a-f]{32}$/) as unknown as z.ZodType<T>;
const replica = <T extends number>(): z.ZodType<T> =>
  z
    .number()
    .int()
    .min(0)
    .max(replicasMax - 1) as unknown as z.ZodType<T>;

const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const bytes = z.custom<Uint8Array>(isBytes).describe('bytes');
const requestBody = z
  .custom<Uint8Array>((value) => isBytes(value) && value.length <= requestBodyBytesMax)
  .describe(`bytes, at most ${requestBodyBytesMax}`);
const address = z.string().max(addressLengthMax).nullable();
const text = z.string().max(messageTextLengthMax);

type Request = Extract<ClientMessage, { type: 'request' }>['request'];
type ClientQuery = Extract<ClientMessage, { type: 'query' }>['query'];
type Hello = Extract<ClientMessage, { type: 'hello' }>;

const hello = z.strictObject({
  type: z.literal('hello'),
  protocolVersion: natural<number>(),
  protocolVersionOldest: natural<number>().exactOptional(),
  client: hex128<Hello['client']>(),
  cluster: hex128<NonNullable<Hello['cluster']>>().nullable(),
});

const request = z.strictObject({
  session: natural<Request['session']>(),
  number: natural<Request['number']>(),
  floor: natural<Request['floor']>(),
  checksum: hex128<Request['checksum']>(),
  body: requestBody,
});

const level = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('linearizable') }),
  z.strictObject({ type: z.literal('at-least'), position: natural<number>() }),
  z.strictObject({ type: z.literal('local') }),
]);

const query = z.strictObject({
  session: natural<ClientQuery['session']>(),
  query: natural<number>(),
  after: natural<ClientQuery['after']>(),
  level,
  body: requestBody,
});

const clientMessages = [
  hello,
  z.strictObject({ type: z.literal('request'), request }),
  z.strictObject({ type: z.literal('query'), query }),
  z.strictObject({ type: z.literal('status') }),
] as const;
const clientMessage = z.discriminatedUnion('type', clientMessages);

function isNumbered(value: unknown, bodyBytesMax: number): value is Numbered {
  if (!Array.isArray(value) || value.length === 0 || value.length > messagesPerFrameMax) return false;
  return value.every((item: unknown) => {
    if (!Array.isArray(item) || item.length !== 2) return false;
    const fields: readonly unknown[] = item;
    return isNatural(fields[0]) && isBytes(fields[1]) && fields[1].length <= bodyBytesMax;
  });
}
const numbered = (bodyBytesMax: number): z.ZodType<Numbered> =>
  z
    .custom<Numbered>((value) => isNumbered(value, bodyBytesMax))
    .describe(`pairs of number and bytes, at most ${bodyBytesMax}, at most ${messagesPerFrameMax} pairs`);

const queryRun = z.strictObject({
  type: z.literal('queries'),
  session: natural<ClientQuery['session']>(),
  after: natural<ClientQuery['after']>(),
  level,
  queries: numbered(requestBodyBytesMax),
});

const member = z.strictObject({
  replica: replica<MemberAddress['replica']>(),
  endpoint: address,
  adminUrl: address,
});
const members = z.array(member).max(replicasMax).readonly();

const replicas = z
  .array(
    z
      .number()
      .int()
      .min(0)
      .max(replicasMax - 1),
  )
  .max(replicasMax)
  .readonly();

const statusRow = z.strictObject({
  cluster: hex128<StatusRow['cluster']>(),
  replica: replica<StatusRow['replica']>(),
  endpoint: address,
  adminUrl: address,
  dataDir: text,
  pid: natural<number>(),
  reachable: z.boolean(),
  role: z.enum(['primary', 'backup', 'standby']).nullable(),
  status: z.enum(['normal', 'view-change', 'recovering', 'recovering-head', 'quarantined']),
  view: natural<number>(),
  primary: replica<StatusRow['primary']>(),
  epoch: natural<number>(),
  voters: replicas,
  standbys: replicas,
  op: natural<number>(),
  commit: natural<number>(),
  checkpoint: natural<number>(),
  position: natural<number>(),
  stateHash: text,
  stateHashOp: natural<number>(),
  version: text,
  versionInForce: natural<number>(),
  versionNewest: natural<number>(),
  clockOffsetUs: z.number().nullable(),
  diskUsedBytes: natural<number>(),
  divergence: z
    .strictObject({
      cause: z.enum(['state', 'sessions', 'checkpoint', 'memory', 'restart', 'no-majority']),
      op: natural<number>(),
      own: text,
      majority: text,
      progress: z.enum(['standing-still', 'diverged-again', 'fetching-checkpoint', 'reading-checkpoint', 'replaying']),
      untilOp: natural<number>(),
    })
    .nullable(),
  diskRoom: z.enum(['enough', 'little', 'none']),
  damageFound: natural<number>(),
  damageRepaired: natural<number>(),
  members,
});

const refusalReasons = [
  'not-primary',
  'view-change',
  'recovering',
  'overloaded',
  'window-full',
  'clock-unsynchronized',
  'quarantined',
  'stopping',
  'unavailable',
  'disk-full',
  'invalid',
] as const satisfies readonly RefusalReason[];

const refusal = z.strictObject({
  reason: z.enum(refusalReasons),
  retryAfterMs: z.number().min(0),
  view: natural<Refusal['view']>(),
  primary: replica<Refusal['primary']>(),
  message: text.exactOptional(),
});

type Registered = Extract<ClientReply, { type: 'registered' }>;
type OutcomeReply = Extract<ClientReply, { type: 'outcome' }>;
const session = natural<Registered['session']>();
const number = natural<OutcomeReply['number']>();
const op = natural<OutcomeReply['op']>();
const timestamp = natural<OutcomeReply['timestamp']>();

const reply = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('registered'), session }),
  z.strictObject({ type: z.literal('outcome'), session, number, op, timestamp, body: bytes }),
  z.strictObject({ type: z.literal('refused'), session, number, refusal }),
  z.strictObject({ type: z.literal('evicted'), session }),
  z.strictObject({ type: z.literal('mismatch'), session, number }),
  z.strictObject({
    type: z.literal('answer'),
    query: natural<number>(),
    op,
    timestamp,
    body: bytes,
    staleForUs: z.number().min(0).nullable().exactOptional(),
  }),
  z.strictObject({ type: z.literal('query-refused'), query: natural<number>(), refusal }),
]);

const connectionErrorCodes = [
  'wrong-version',
  'wrong-cluster',
  'bad-frame',
  'too-large',
  'not-greeted',
  'slow-reader',
  'stopping',
] as const satisfies readonly ConnectionErrorCode[];

type Welcome = Extract<ServerMessage, { type: 'welcome' }>;

const answerRun = z.strictObject({ type: z.literal('answers'), op, timestamp, answers: numbered(frameBytesMax) });

const serverMessages = [
  z.strictObject({
    type: z.literal('welcome'),
    protocolVersion: natural<number>(),
    cluster: hex128<Welcome['cluster']>(),
    replica: replica<Welcome['replica']>(),
    view: natural<Welcome['view']>(),
    primary: replica<Welcome['primary']>(),
    members,
  }),
  z.strictObject({ type: z.literal('view'), view: natural<Welcome['view']>(), primary: replica<Welcome['primary']>() }),
  z.strictObject({ type: z.literal('reply'), reply }),
  z.strictObject({ type: z.literal('status'), row: statusRow }),
  z.strictObject({ type: z.literal('error'), code: z.enum(connectionErrorCodes), message: text }),
] as const;
const serverMessage = z.discriminatedUnion('type', serverMessages);

// Greetings are the same in every version, but for what later ones add to them: that is overlooked.

const clientGreetings = [z.object(hello.shape), z.object({ type: z.literal('status') })] as const;
const serverGreetings = [
  z.object({ ...serverMessages[0].shape, members: z.array(z.object(member.shape)).max(replicasMax).readonly() }),
  z.object({ ...serverMessages[4].shape, code: z.enum(connectionErrorCodes).catch('bad-frame') }),
] as const;

export const clientGreetingSchema: z.ZodType<readonly ClientMessage[]> = z
  .array(z.discriminatedUnion('type', clientGreetings))
  .max(messagesPerFrameMax);
export const serverGreetingSchema: z.ZodType<readonly ServerMessage[]> = z
  .array(z.discriminatedUnion('type', serverGreetings))
  .max(messagesPerFrameMax);

export const clientFrameSchema: z.ZodType<readonly (ClientMessage | QueryRun)[]> = z
  .array(z.discriminatedUnion('type', [...clientMessages, queryRun]))
  .max(messagesPerFrameMax);
export const serverFrameSchema: z.ZodType<readonly (ServerMessage | AnswerRun)[]> = z
  .array(z.discriminatedUnion('type', [...serverMessages, answerRun]))
  .max(messagesPerFrameMax);

/** Identical types, `readonly` and optional included, not only assignable ones. */
type Same<A, B> =
  (<T>() => T extends DeepWritable<A> ? 1 : 2) extends <T>() => T extends DeepWritable<B> ? 1 : 2 ? true : false;
/** zod infers writable properties; the contract has them readonly. Nothing else may differ. */
type DeepWritable<T> = T extends string | number | boolean | bigint | null | undefined | Uint8Array
  ? T
  : T extends readonly (infer Item)[]
    ? DeepWritable<Item>[]
    : { -readonly [Key in keyof T]: DeepWritable<T[Key]> };

const same = <Proof extends true>(proof: Proof): Proof => proof;
same<Same<z.infer<typeof clientMessage>, ClientMessage>>(true);
same<Same<z.infer<typeof serverMessage>, ServerMessage>>(true);
same<Same<z.infer<typeof queryRun>, QueryRun>>(true);
same<Same<z.infer<typeof answerRun>, AnswerRun>>(true);
