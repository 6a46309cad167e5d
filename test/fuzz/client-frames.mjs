import { createHash } from 'node:crypto';
import { createCodec, encodeCommands, encodeQuery, frameHeaderBytes } from '@kimberlite/wire';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { bombs, flipBits, kinds, lengthen, seal, truncate } from './frame-shapes.mjs';

const codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
export const hello = (client, changes = {}) =>
  codec.encodeClientFrame([{ type: 'hello', protocolVersion: 1, client, cluster: null, ...changes }]);

const bodyOf = (frame) => frame.slice(frameHeaderBytes);

const request = (body, { session = 0, number = 1, floor = 1, checksum = nodeHasher(body) } = {}) =>
  codec.encodeClientFrame([{ type: 'request', request: { session, number, floor, checksum, body } }]);

const query = (body, { session = 0, number = 1, after = 0, level = { type: 'linearizable' } } = {}) =>
  codec.encodeClientFrame([{ type: 'query', query: { session, query: number, after, level, body } }]);

const strangeValues = [
  null,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -0,
  -1,
  1.5,
  2 ** 53,
  2 ** 64,
  '',
  'constructor',
  '\u0000',
  'a'.repeat(70_000),
  [],
  {},
  { toString: 1 },
  [[[[[[]]]]]],
  true,
  '9223372036854775808',
  new Uint8Array(0),
];

const commandTypes = [
  'Insert',
  'Update',
  'Upsert',
  'Delete',
  'CreateTable',
  'CreateTenant',
  'SetBudget',
  'Query',
  'Nonsense',
];
const fields = ['tenantId', 'table', 'row', 'key', 'set', 'columns', 'primaryKey', 'budgetBytes', 'ifVersion', 'query'];

/** A command in which at least one thing is wrong. */
function wrongCommand(random) {
  // A tenant nobody has: what is well-formed by chance is rejected by the state machine and changes nothing.
  const command = { type: random.pick(commandTypes), tenantId: 999_999_999 };
  for (let i = random.below(6); i >= 0; i--) command[random.pick(fields)] = random.pick(strangeValues);
  if (random.chance(4)) command.type = random.pick(strangeValues);
  // These would be no mistake but an order.
  if (command.type === 'SetBudget' || command.type === 'CreateTenant') command.budgetBytes = command.tenantId = 'x';
  return command;
}

/** Frames after which the connection is expected to go on: what is wrong is inside, and is answered. */
export const survivable = {
  'request of random bytes': (random) => request(random.bytes(random.below(300)), { number: 1 + random.below(1e6) }),
  'request with a wrong checksum': (random) =>
    request(encodeCommands([{ type: 'Checkpoint' }]), { checksum: random.hex(32) }),
  'request of a bomb': (random) => request(random.pick(Object.values(bombs))()),
  'request of wrong commands': (random) =>
    request(encodeCommands(Array.from({ length: 1 + random.below(4) }, () => wrongCommand(random)))),
  'request of an unknown session': (random) =>
    request(encodeCommands([{ type: 'Delete', tenantId: 999_999_999, table: 't', key: { id: 1 } }]), {
      session: 1 + random.below(2 ** 31),
      number: 1 + random.below(1000),
    }),
  'query of random bytes': (random) => query(random.bytes(random.below(300))),
  'query of a bomb': (random) => query(random.pick(Object.values(bombs))()),
  'query of wrong types': (random) =>
    query(
      encodeQuery({
        tenantId: random.pick(strangeValues),
        table: random.pick(strangeValues),
        where: random.pick(strangeValues),
      }),
    ),
  'query after a request nobody made': (random) =>
    query(encodeQuery({ tenantId: 1, table: 'x' }), { session: random.below(1e6), after: random.below(1e6) }),
  'query at a position far away': () =>
    query(encodeQuery({ tenantId: 1, table: 'x' }), { level: { type: 'at-least', position: Number.MAX_SAFE_INTEGER } }),
  status: () => codec.encodeClientFrame([{ type: 'status' }]),
  'empty list': () => codec.encodeClientFrame([]),
  'hello again': (random) => hello(random.hex(32)),
};

const genuine = (random) =>
  random.pick([survivable['request of an unknown session'], survivable['query of wrong types'], survivable.status])(
    random,
  );

/** Frames after which the node must have closed the connection. */
export const fatal = {
  'bits flipped': (random) => flipBits(random, genuine(random), 1 + random.below(3)),
  truncated: (random) => truncate(random, genuine(random)),
  'too long': (random) => lengthen(random, genuine(random)),
  'random bytes': (random) => random.bytes(random.below(400)),
  'wrong magic': (random) => {
    const frame = genuine(random);
    frame[random.below(4)] ^= 0xff;
    return frame;
  },
  'wrong version': (random) => seal(bodyOf(genuine(random)), { version: 2 + random.below(60_000) }),
  'wrong length': (random) => seal(bodyOf(genuine(random)), { length: random.next() }),
  'wrong kind': (random) =>
    seal(bodyOf(genuine(random)), { kind: random.pick([0, kinds.peer, kinds.server, kinds.peerHello, 200]) }),
  'reserved byte': (random) => seal(bodyOf(genuine(random)), { reserved: 1 + random.below(255) }),
  'body of random bytes': (random) => seal(random.bytes(1 + random.below(300)).fill(0xc1, 0, 1)),
  'body a bomb': (random) => seal(random.pick(Object.values(bombs))()),
  'body of wrong types': (random) =>
    seal(
      encodeCommands([
        { type: random.pick(['request', 'query', 'hello', 'x', '']), request: random.pick(strangeValues) },
      ]),
    ),
  'huge numbers': () =>
    seal(
      encodeCommands([
        {
          type: 'query',
          query: { session: 2 ** 60, query: -1, after: 0.5, level: { type: 'local' }, body: new Uint8Array(1) },
        },
      ]),
    ),
  'a hello of another version': (random) => hello(random.hex(32), { protocolVersion: 2 + random.below(99) }),
  'a hello of another cluster': (random) => hello(random.hex(32), { cluster: random.hex(32) }),
  'a client id that is none': () =>
    seal(encodeCommands([{ type: 'hello', protocolVersion: 1, client: '__proto__', cluster: null }])),
};

/** Larger than any frame may be; made seldom, since it is mostly copying. */
export const oversized = (random) => seal(new Uint8Array(4_194_304 + random.below(1000)));

export const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
export { codec, request };
