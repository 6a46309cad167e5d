import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { concatBytes, ownVersions, protocolVersion } from '@kimberlite/base';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { decodeDurableState, encodeDurableState } from '@kimberlite/vsr';
import { createCodec, createKernelStateMachine } from '@kimberlite/wire';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { ContentDecoder, encodeContent } from '../../packages/vsr/src/checkpoint-content.ts';
import { clientMessage, peerMessage, serverMessage } from '../../packages/wire/test/arbitraries.ts';
import { bin, cli, temporaryDirectory } from '../support/dev-cluster.ts';
import { type Entry, readEntries, readFiles, show } from './golden-text.ts';
import { kindOfServer, makeGolden, sayContent } from './make-golden.ts';

// What every version wrote stays readable. `version-N` is what releases of that version put on disks and wires; nothing
// in it changes once a release has gone out with it. UPDATE_GOLDEN=1 makes the newest version's files.

vi.setConfig({ testTimeout: 120_000 });

const folder = fileURLToPath(new URL('.', import.meta.url));
const folderOf = (version: number): string => join(folder, `version-${version}`);
if (process.env['UPDATE_GOLDEN'] === '1') await makeGolden(folderOf(protocolVersion));

const versions = readdirSync(folder)
  .flatMap((name) => /^version-(\d+)$/.exec(name)?.[1] ?? [])
  .map(Number);
const spoken = versions.filter((version) => version >= ownVersions.oldest);
const entriesOf = (version: number, file: string): readonly Entry[] =>
  readEntries(readFileSync(join(folderOf(version), file), 'utf8'));

const hint =
  `these bytes were written by a release, and are written or read otherwise now: that is a new protocol version ` +
  `(packages/base/src/limits.ts), with its own golden files (UPDATE_GOLDEN=1 npx vitest run test/golden)`;

test('there are golden files of every version that this release speaks', () => {
  const all = Array.from({ length: ownVersions.newest - ownVersions.oldest + 1 }, (_, i) => ownVersions.oldest + i);
  expect(spoken.sort((a, b) => a - b)).toEqual(all);
});

describe.each(spoken)('version %i', (version) => {
  const codec = createCodec();
  const decoders = {
    peer: (frame: Uint8Array) => codec.decodePeerMessage(frame),
    'peer-hello': (frame: Uint8Array) => codec.decodePeerHello(frame),
    client: (frame: Uint8Array) => codec.decodeClientFrame(frame),
    server: (frame: Uint8Array) => codec.decodeServerFrame(frame),
  } as const;
  const again = (name: string, value: never): Uint8Array => {
    if (name.startsWith('peer ')) return codec.encodePeerMessage(value, 3, version);
    if (name.startsWith('peer-hello ')) return codec.encodePeerHello(value);
    if (name.startsWith('client ')) return codec.encodeClientFrame(value, version);
    return codec.encodeServerFrame(value, version);
  };

  test.each(entriesOf(version, 'frames.txt'))('frame: $name', ({ name, says, bytes }) => {
    const decoded = decoders[name.split(' ')[0] as keyof typeof decoders](bytes);
    expect(decoded.ok ? show(decoded.value) : decoded.error, hint).toBe(says);
    if (!decoded.ok) return;
    expect(Buffer.from(again(name, decoded.value as never)).toString('base64'), hint).toBe(
      Buffer.from(bytes).toString('base64'),
    );
    if (name.startsWith('peer ')) expect(codec.peerIncarnation(bytes)).toBe(3);
  });

  test('every kind of message has its frame', () => {
    const kinds = new Set(entriesOf(version, 'frames.txt').map(({ name }) => name));
    const sampled = { seed: 1, numRuns: 2000 };
    const wanted = [
      'peer-hello hello',
      ...fc.sample(peerMessage, sampled).map(({ type }) => `peer ${type}`),
      ...fc.sample(clientMessage, sampled).map(({ type }) => `client ${type}`),
      ...fc.sample(serverMessage, sampled).map((message) => `server ${kindOfServer(message)}`),
    ];
    // Kinds that came with a later version have theirs there.
    if (version === ownVersions.newest) expect([...new Set(wanted)].sort()).toEqual([...kinds].sort());
  });

  test.each(entriesOf(version, 'superblocks.txt'))('superblock: $name', ({ name, says, bytes }) => {
    const decoded = decodeDurableState(bytes);
    expect(decoded.ok ? show(decoded.value) : decoded.error, hint).toBe(says);
    if (decoded.ok && !name.startsWith('from before')) expect(encodeDurableState(decoded.value), hint).toEqual(bytes);
  });

  test.each(entriesOf(version, 'contents.txt'))('content of a checkpoint: $name', ({ name, says, bytes }) => {
    const machine = createKernelStateMachine();
    const decoder = new ContentDecoder(machine);
    expect(decoder.push(bytes)).toEqual({ ok: true, value: undefined });
    const content = decoder.finish();
    expect(content.ok ? sayContent(content.value) : content.error, hint).toBe(says);
    if (!content.ok || name === 'form 1') return;
    expect(concatBytes([...encodeContent(content.value, machine)]), hint).toEqual(bytes);
  });

  test('a data directory: it verifies, a node starts on it, and the state is what it was', async () => {
    const says = JSON.parse(readFileSync(join(folderOf(version), 'directory-says.json'), 'utf8')) as Directory;
    const temporary = temporaryDirectory();
    const settings = { clusterId: says.cluster, checkpointInterval: 16, logLevel: 'warn' };
    const cluster = await ProcessCluster.create({ bin, nodes: 1, directory: temporary.path, settings });
    try {
      const data = join(temporary.path, 'node-0');
      restore(version, data);
      const { code, out } = await cli(['verify', data, '--json']);
      const { stateHash, stateHashOp, position } = JSON.parse(out) as Directory;
      expect({ code, stateHash, stateHashOp, position }, hint).toEqual({
        code: 0,
        stateHash: says.stateHash,
        stateHashOp: says.stateHashOp,
        position: says.position,
      });
      cluster.startAll();
      const row = await waitFor('the node', async () => {
        const status = await cluster.status(0);
        return status?.status === 'normal' && status.position >= says.position ? status : undefined;
      });
      expect(row.stateHash).toBe(says.stateHash);
      await using db = await connect({ endpoints: cluster.endpoints });
      await db.tenant(1).table('t').insert({ id: 20, text: 'row 20' });
      const { rows } = await db
        .tenant(1)
        .table('t')
        .query({ orderBy: ['id'] });
      expect(rows.map(({ text }) => text)).toEqual(Array.from({ length: 21 }, (_, id) => `row ${id}`));
    } finally {
      await cluster.close();
      temporary.remove();
    }
  });
});

interface Directory {
  readonly cluster: string;
  readonly stateHash: string;
  readonly stateHashOp: number;
  readonly position: number;
}

/** Makes the golden directory, in place of what is there. */
function restore(version: number, data: string): void {
  rmSync(data, { recursive: true });
  mkdirSync(data, { mode: 0o700 });
  for (const { file, sizeBytes, pieces } of readFiles(readFileSync(join(folderOf(version), 'directory.txt'), 'utf8'))) {
    const descriptor = openSync(join(data, file), 'w');
    ftruncateSync(descriptor, sizeBytes);
    for (const { offset, bytes } of pieces) writeSync(descriptor, bytes, 0, bytes.length, offset);
    closeSync(descriptor);
  }
}
