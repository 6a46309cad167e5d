import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Checksum,
  type ClientId,
  concatBytes,
  FixedWriter,
  makePrepare,
  op,
  type SessionNumber,
  sha256Hasher,
  view,
} from '@kimberlite/base';
import { connect } from '@kimberlite/client';
import { ProcessCluster } from '@kimberlite/drill';
import {
  type DurableState,
  encodeDurableState,
  foundingGroup,
  initialDurableState,
  viewsPerEpoch,
} from '@kimberlite/vsr';
import { createCodec, createKernelStateMachine, encodeCommands } from '@kimberlite/wire';
import fc from 'fast-check';
import { type CheckpointContent, encodeContent } from '../../packages/vsr/src/checkpoint-content.ts';
import { seal, sealedOutcome, type SessionEntry, sizeOfOutcome } from '../../packages/vsr/src/sessions.ts';
import { clientMessage, peerHello, peerMessage, serverMessage } from '../../packages/wire/test/arbitraries.ts';
import { bin, cli, temporaryDirectory } from '../support/dev-cluster.ts';
import { type Entry, show, sparseFile, writeEntries, writeFiles } from './golden-text.ts';

// Makes the golden bytes of a version: once, when that version is new. What an earlier release wrote can not be made
// again by a later one, and that is what the files are for.

const seed = 20_261_127;
const codec = createCodec();
const machine = createKernelStateMachine();
type State = ReturnType<typeof machine.initial>;

/** The smallest of many samples of each kind. */
function samples<T>(arbitrary: fc.Arbitrary<T>, kindOf: (value: T) => string): readonly (readonly [string, T])[] {
  const best = new Map<string, T>();
  for (const value of fc.sample(arbitrary, { seed, numRuns: 3000 })) {
    const known = best.get(kindOf(value));
    const [size, least] = [show(value).length, known === undefined ? Infinity : show(known).length];
    // Short, but not so short that it is empty.
    if (size < least && size > 100) best.set(kindOf(value), value);
    else if (known === undefined) best.set(kindOf(value), value);
  }
  return [...best].sort(([a], [b]) => (a < b ? -1 : 1));
}

export const kindOfServer = (message: { readonly type: string; readonly reply?: { readonly type: string } }): string =>
  message.reply === undefined ? message.type : `${message.type} ${message.reply.type}`;

function frames(): readonly Entry[] {
  const entry = (kind: string, value: unknown, bytes: Uint8Array): Entry => ({ name: kind, says: show(value), bytes });
  return [
    ...samples(peerMessage, ({ type }) => type).map(([kind, m]) =>
      entry(`peer ${kind}`, m, codec.encodePeerMessage(m, 3)),
    ),
    ...samples(peerHello, () => 'hello').map(([kind, m]) => entry(`peer-hello ${kind}`, m, codec.encodePeerHello(m))),
    ...samples(clientMessage, ({ type }) => type).map(([kind, m]) =>
      entry(`client ${kind}`, [m], codec.encodeClientFrame([m])),
    ),
    ...samples(serverMessage, kindOfServer).map(([kind, m]) =>
      entry(`server ${kind}`, [m], codec.encodeServerFrame([m])),
    ),
  ];
}

const header = (at: number) =>
  makePrepare(
    { cluster: 'c0'.repeat(16), op: at, view: 3, parent: 'ab'.repeat(16), timestamp: at * 10, body: new Uint8Array(0) },
    sha256Hasher,
  ).header;
const group = {
  ...foundingGroup(3),
  epoch: 1,
  voters: [2, 0, 3],
  standbys: [1],
  addresses: ['', 'a:1', '', '[::1]:7014', '', ''],
};
const membership = { group, boundary: header(9) };

function superblocks(): readonly Entry[] {
  const ref = (at: number) => ({
    header: header(at),
    contentBytes: at * 1000,
    checksum: `${at}`.padStart(32, 'c') as Checksum,
  });
  const state: DurableState = {
    ...initialDurableState(16),
    view: view(7),
    logView: view(5),
    commit: op(9),
    checkpoint: op(8),
    suffix: [
      { op: op(9), id: header(9).id, header: header(9) },
      { op: op(10), id: 'a'.repeat(32) as Checksum, header: null },
      { op: op(11), id: null, header: null },
    ],
    checkpoints: [ref(8), ref(4)],
    stable: { op: op(4), checksum: ref(4).checksum },
    incarnation: 2,
  };
  const joined = {
    ...state,
    quarantined: op(6),
    view: view(viewsPerEpoch + 7),
    logView: view(viewsPerEpoch),
    membership,
  };
  const all: Readonly<Record<string, DurableState>> = {
    'with checkpoints': state,
    'with a membership': joined,
    'with versions': { ...state, foundedIn: 1, versionInForce: 2 },
    'with a membership and versions': { ...joined, foundedIn: 3, versionInForce: 4 },
  };
  const fresh = initialDurableState();
  return [
    // The first releases wrote no more than the head and the suffix.
    { name: 'from before there were checkpoints', says: show(fresh), bytes: encodeDurableState(fresh).subarray(0, 40) },
    { name: 'from before there was a quarantine', says: show(state), bytes: encodeDurableState(state).subarray(0, -8) },
    ...Object.entries(all).map(([name, value]) => ({ name, says: show(value), bytes: encodeDurableState(value) })),
  ];
}

function stateOf(): State {
  let state = machine.initial();
  const commands = [
    { type: 'CreateTenant', tenantId: 1, name: 'one' },
    { type: 'CreateTable', tenantId: 1, table: 't', columns: { id: 'int', text: 'text' }, primaryKey: ['id'] },
    { type: 'Insert', tenantId: 1, table: 't', row: { id: 1, text: 'Ada' } },
    { type: 'Insert', tenantId: 1, table: 't', row: { id: 2, text: 'Grace' }, idempotencyId: 'ab'.repeat(16) },
  ] as unknown as Parameters<typeof encodeCommands>[0];
  const body = encodeCommands(commands);
  const request = { op: op(1), timestamp: 10, client: 'c'.repeat(32), session: 1, checksum: sha256Hasher(body), body };
  state = machine.apply(state, request as unknown as Parameters<typeof machine.apply>[1]).state;
  return state;
}

/** What a content says, with the state by its hash, and without what is only there to find memory that fails. */
export function sayContent({ state, sessions, ...rest }: CheckpointContent<State>): string {
  const bare = [...sessions].map(([client, { seal: _seal, outcomes, ...entry }]) => {
    const kept = [...outcomes].map(([number, { seal: _sealed, ...outcome }]) => [number, outcome]);
    return [client, { ...entry, outcomes: kept }];
  });
  return show({ ...rest, sessions: bare, stateHash: machine.stateHash(state) });
}

function contents(): readonly Entry[] {
  const checksum = 'd'.repeat(32) as Checksum;
  const outcome = sealedOutcome({ checksum, op: 3, timestamp: 30, body: Uint8Array.of(1, 2, 3) });
  const session: SessionEntry = {
    session: 2 as SessionNumber,
    floor: 1,
    lastOp: 3,
    executed: 1,
    outcomes: new Map([[1, outcome]]),
    outcomeBytes: sizeOfOutcome(outcome),
    seal: 0,
  };
  seal(session);
  const second: CheckpointContent<State> = {
    state: stateOf(),
    sessions: new Map([['c'.repeat(32) as ClientId, session]]),
    schedule: { op: 16, bytes: 4096 },
    living: [0, 2, 0, 0, 0, 0],
    membership: null,
    inForce: 1,
  };
  const encode = (content: CheckpointContent<State>): Uint8Array => concatBytes([...encodeContent(content, machine)]);
  const plain = encode(second);
  // Form 1 had no length of a membership behind the incarnations.
  const lengthAt = 4 + 8 + 8 + 6 * 4;
  const first = concatBytes([
    new FixedWriter(4).u32(1).bytes,
    plain.subarray(4, lengthAt),
    plain.subarray(lengthAt + 4),
  ]);
  const joined = { ...second, membership };
  const third = { ...joined, inForce: 2 };
  return [
    { name: 'form 1', says: sayContent(second), bytes: first },
    { name: 'form 2', says: sayContent(joined), bytes: encode(joined) },
    { name: 'form 3', says: sayContent(third), bytes: encode(third) },
  ];
}

/** A node that stands alone takes commands, a checkpoint and some more, and stops. */
async function directory(): Promise<{ readonly files: string; readonly says: string }> {
  const temporary = temporaryDirectory();
  const settings = { checkpointInterval: 16, logLevel: 'warn' };
  const cluster = await ProcessCluster.create({ bin, nodes: 1, directory: temporary.path, settings });
  try {
    cluster.startAll();
    await cluster.converged();
    const db = await connect({ endpoints: cluster.endpoints });
    await db.createTenant({ tenantId: 1, name: 'one' });
    await db.tenant(1).createTable('t', { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] });
    for (let id = 0; id < 20; id++)
      await db
        .tenant(1)
        .table('t')
        .insert({ id, text: `row ${id}` });
    await db.close();
    await cluster.signal(0, 'SIGTERM');
    const data = join(temporary.path, 'node-0');
    const { code, out } = await cli(['verify', data, '--json']);
    if (code !== 0) throw new Error(`verify finds fault with a fresh directory: ${out}`);
    const { stateHash, stateHashOp, position, cluster: id, replica } = JSON.parse(out) as Record<string, unknown>;
    const files = readdirSync(data)
      .filter((file) => /^(superblock|segment-|headers-|checkpoint-)/.test(file))
      .sort()
      .map((file) => sparseFile(file, new Uint8Array(readFileSync(join(data, file)))));
    return { files: writeFiles(files), says: `${show({ cluster: id, replica, stateHash, stateHashOp, position })}\n` };
  } finally {
    await cluster.close();
    temporary.remove();
  }
}

export async function makeGolden(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  write('frames.txt', writeEntries(frames()));
  write('superblocks.txt', writeEntries(superblocks()));
  write('contents.txt', writeEntries(contents()));
  const { files, says } = await directory();
  write('directory.txt', files);
  write('directory-says.json', says);
}
