import { createServer, type Server, type Socket } from 'node:net';
import { clusterId, seedRandom, protocolVersion, type ReplicaId, replicaId } from '@kimberlite/base';
import { createCodec, type PeerHello } from '@kimberlite/wire';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Address } from '../src/address.ts';
import { PeerNetwork } from '../src/peer-network.ts';
import { eventually } from './eventually.ts';
import { quietMetrics, RecordingJournal, sample } from './records.ts';

const codec = createCodec();
const cluster = clusterId('0123456789abcdef0123456789abcdef');
const nowhere: Address = { host: '127.0.0.1', port: 1 };

interface Node {
  readonly network: PeerNetwork;
  readonly journal: RecordingJournal;
  readonly metrics: ReturnType<typeof quietMetrics>;
  readonly received: { readonly from: ReplicaId; readonly text: string }[];
  at: Address;
}

interface NodeChanges {
  readonly hello?: Partial<PeerHello>;
  readonly secret?: string | null;
  readonly queueBytesMax?: number;
  readonly listen?: Address;
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A node of three that listens; `addresses` are filled in as far as they are known. */
async function node(replica: number, addresses: readonly Address[], changes: NodeChanges = {}): Promise<Node> {
  const journal = new RecordingJournal();
  const metrics = quietMetrics();
  const received: Node['received'] = [];
  const hello: PeerHello = {
    cluster,
    replica: replicaId(replica),
    incarnation: 0,
    view: 0,
    epoch: 0,
    voters: [0, 1, 2],
    protocolVersion,
    protocolVersionOldest: 1,
    versionInForce: 1,
    pipelineMax: 8,
    slots: 1024,
    checkpointInterval: 256,
    endpoint: `ws://node-${replica}`,
    adminUrl: null,
    ...changes.hello,
  };
  const network = new PeerNetwork({
    replica: replicaId(replica),
    addresses,
    hello: () => hello,
    acquaintances: { problem: () => null, heard: () => {} },
    secret: changes.secret ?? null,
    codec,
    queueBytesMax: changes.queueBytesMax ?? 1_000_000,
    random: seedRandom(replica),
    receive: (from, frame) => received.push({ from, text: Buffer.from(frame).toString() }),
    journal,
    metrics,
  });
  closing.push(() => network.close());
  const at = await network.listen(changes.listen ?? { host: '127.0.0.1', port: 0 });
  return { network, journal, metrics, received, at };
}

/** Replica 0 listens, replica 2 dials it. */
async function pair(lower: NodeChanges = {}, higher: NodeChanges = {}): Promise<readonly [Node, Node]> {
  const zero = await node(0, [nowhere, nowhere, nowhere], lower);
  const two = await node(2, [zero.at, nowhere, nowhere], higher);
  two.network.dial();
  return [zero, two];
}

const connected = (a: Node, peer: number): boolean => a.network.problems().get(replicaId(peer)) === null;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('two replicas that belong together', () => {
  it.each([null, 'the same secret on both sides'])('exchange frames both ways (secret: %s)', async (secret) => {
    const [zero, two] = await pair({ secret }, { secret });
    await eventually('both sides are connected', () => connected(zero, 2) && connected(two, 0));
    zero.network.send(replicaId(2), bytes('down'));
    two.network.send(replicaId(0), bytes('up 1'));
    two.network.send(replicaId(0), bytes('up 2'));
    await eventually('frames arrive', () => zero.received.length === 2 && two.received.length === 1);
    expect(two.received).toEqual([{ from: 0, text: 'down' }]);
    expect(zero.received).toEqual([
      { from: 2, text: 'up 1' },
      { from: 2, text: 'up 2' },
    ]);
    expect(zero.network.hellos()[2]?.endpoint).toBe('ws://node-2');
    expect(await sample(zero.metrics, 'kimberlite_peer_connected{peer="2"}')).toBe(1);
  });

  it('is connected again soon after the lower one was restarted', async () => {
    const [zero, two] = await pair();
    await eventually('connected', () => connected(two, 0));
    await zero.network.close();
    await eventually('the loss is seen', () => !connected(two, 0));
    await eventually('several attempts failed', () => two.journal.text().includes('cannot reach a replica'));
    const again = await node(0, [nowhere, nowhere, nowhere], { listen: zero.at });
    const start = performance.now();
    await eventually('connected again', () => connected(two, 0) && connected(again, 2));
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('drops and counts what cannot be sent, without an error', async () => {
    const zero = await node(0, [nowhere, nowhere, nowhere]);
    zero.network.send(replicaId(1), bytes('lost'));
    expect(await sample(zero.metrics, 'kimberlite_peer_frames_dropped_total{peer="1"}')).toBe(1);
  });

  it('keeps no more than its bound for a peer that does not read', async () => {
    const [zero, two] = await pair({ queueBytesMax: 100_000 });
    await eventually('connected', () => connected(zero, 2) && connected(two, 0));
    const frame = new Uint8Array(60_000);
    // All in one turn: nothing leaves the process in between.
    for (let i = 0; i < 50; i++) zero.network.send(replicaId(2), frame);
    expect(await sample(zero.metrics, 'kimberlite_peer_frames_sent_total{peer="2"}')).toBe(1);
    expect(await sample(zero.metrics, 'kimberlite_peer_frames_dropped_total{peer="2"}')).toBe(49);
  });

  it('believes the newest connection of a pair: the older one may be half open', async () => {
    const [zero, two] = await pair();
    await eventually('connected', () => connected(zero, 2) && connected(two, 0));
    const twin = await node(2, [zero.at, nowhere, nowhere]);
    twin.network.dial();
    await eventually('the twin is connected', () => connected(twin, 0));
    twin.network.send(replicaId(0), bytes('newest'));
    await eventually('it is heard', () => zero.received.some((frame) => frame.text === 'newest'));
    await eventually('the older one says what that means', () =>
      two.journal.text('error').includes('another process runs as replica 2'),
    );
    await twin.network.close();
  });

  it('notices a peer that went silent without closing, and dials again', async () => {
    const zero = await node(0, [nowhere, nowhere, nowhere]);
    // Between the two a wire that can be cut without a word: no FIN, no RST.
    const wire = await cuttableWire(zero.at);
    const two = await node(2, [wire.at, nowhere, nowhere]);
    two.network.dial();
    await eventually('connected', () => connected(two, 0) && connected(zero, 2));
    wire.cut();
    await eventually('both ends notice', () => !connected(two, 0) && !connected(zero, 2), 15_000);
    await eventually('and say so', () => /lost the connection to a replica.*silent/.test(two.journal.text()));
    wire.mend();
    await eventually('connected again', () => connected(two, 0) && connected(zero, 2), 15_000);
  });
});

/** A TCP proxy that forwards, or swallows everything and keeps the connections open. */
async function cuttableWire(to: Address): Promise<{ at: Address; cut: () => void; mend: () => void }> {
  const { connect } = await import('node:net');
  let whole = true;
  const sockets = new Set<Socket>();
  const join = (from: Socket, into: Socket): void => {
    sockets.add(from);
    const alive = whole;
    from.on('data', (data) => alive && whole && into.write(data));
    from.on('close', () => alive && whole && into.destroy());
    from.on('error', () => {});
  };
  const server: Server = createServer((near) => {
    const far = connect(to.port, to.host);
    join(near, far);
    join(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  return {
    at: { host: '127.0.0.1', port },
    cut: () => {
      whole = false;
    },
    mend: () => {
      whole = true;
    },
  };
}

describe('what does not belong together is told apart, on both sides', () => {
  const cases: readonly (readonly [string, NodeChanges, string, RegExp])[] = [
    ['another cluster', { hello: { cluster: clusterId('f'.repeat(32)) } }, 'wrong-cluster', /cluster f{32}/],
    [
      'another protocol version',
      { hello: { protocolVersion: 99, protocolVersionOldest: 99 } },
      'wrong-version',
      /version 99/,
    ],
    ['another count of replicas', { hello: { voters: [0, 1, 2, 3, 4] } }, 'wrong-limits', /give all nodes the same/],
    ['another pipeline', { hello: { pipelineMax: 9 } }, 'wrong-limits', /pipelineMax/],
    ['another number of slots', { hello: { slots: 7 } }, 'wrong-limits', /slots/],
    ['another checkpoint interval', { hello: { checkpointInterval: 7 } }, 'wrong-limits', /checkpointInterval/],
    ['the same replica', { hello: { replica: replicaId(0) } }, 'wrong-replica', /both nodes run as replica 0/],
    ['a secret where there is none', { secret: 'only here, long enough' }, 'wrong-secret', /peerSecret/],
  ];
  it.each(cases)('%s', async (_, higher, code, message) => {
    const [zero, two] = await pair({}, higher);
    await eventually('both logs say why', () => [zero, two].every((n) => n.journal.text('error').includes(code)));
    expect(`${zero.journal.text('error')}\n${two.journal.text('error')}`).toMatch(message);
    expect(connected(zero, 2) || connected(two, 0)).toBe(false);
    expect(await sample(zero.metrics, `kimberlite_peer_refusals_total{reason="${code}"}`)).toBeGreaterThan(0);
    expect(two.network.problems().get(replicaId(0))).toContain(code);
    expect([zero.received, two.received]).toEqual([[], []]);
  });

  it('different secrets', async () => {
    const [zero, two] = await pair({ secret: 'one secret of the two' }, { secret: 'the other of the two' });
    await eventually('both logs say why', () =>
      [zero, two].every((n) => n.journal.text('error').includes('wrong-secret')),
    );
    expect(connected(zero, 2) || connected(two, 0)).toBe(false);
  });

  it('a replica at the address of another', async () => {
    const one = await node(1, [nowhere, nowhere, nowhere]);
    const two = await node(2, [one.at, nowhere, nowhere]);
    two.network.dial();
    await eventually('the dialler says so', () =>
      two.journal.text('error').includes('replica 1 answers where replica 0 should'),
    );
    expect(connected(two, 0)).toBe(false);
  });

  it('a lower replica that dials a higher one', async () => {
    const two = await node(2, [nowhere, nowhere, nowhere]);
    // Configured as replica 2, so that it dials, but introduces itself as 1.
    const one = await node(2, [two.at, nowhere, nowhere], { hello: { replica: replicaId(1) } });
    one.network.dial();
    await eventually('it is refused', () => two.journal.text('error').includes('no business to dial'));
  });

  it('the same refusal again and again is one line', async () => {
    const [zero, two] = await pair({}, { secret: 'only here, long enough' });
    const refusals = 'kimberlite_peer_refusals_total{reason="wrong-secret"}';
    let seen = 0;
    await eventually('refused several times', () => {
      void sample(zero.metrics, refusals).then((count) => {
        seen = count;
      });
      return seen >= 4;
    });
    expect(zero.journal.text('error').split('\n')).toHaveLength(1);
    expect(two.journal.text('error').split('\n')).toHaveLength(1);
  });
});

describe('strangers on the peer port', () => {
  const dial = async (url: string, options: object = {}): Promise<{ socket: WebSocket; ended: Promise<string> }> => {
    const socket = new WebSocket(url, options);
    closing.push(() => socket.terminate());
    const ended = new Promise<string>((resolve) => {
      socket.on('unexpected-response', (_request, response) => resolve(`http ${response.statusCode}`));
      socket.on('close', (code, reason) => resolve(`${code} ${reason.toString()}`));
      socket.on('error', () => {});
    });
    return { socket, ended };
  };

  it('web pages are refused', async () => {
    const zero = await node(0, [nowhere, nowhere, nowhere]);
    const { ended } = await dial(`ws://127.0.0.1:${zero.at.port}/peer`, { origin: 'http://evil.example' });
    expect(await ended).toBe('http 403');
  });

  it('plain HTTP is told what the port is for', async () => {
    const zero = await node(0, [nowhere, nowhere, nowhere]);
    const response = await fetch(`http://127.0.0.1:${zero.at.port}/`);
    expect([response.status, await response.text()]).toEqual([426, expect.stringContaining('other replicas')]);
  });

  it.each<[string, string | Uint8Array, string]>([
    ['garbage', bytes('hello?'), '4006'],
    ['text', 'hello?', '4006'],
    ['a frame over the bound', new Uint8Array(4_194_305), '1009'],
  ])('%s ends the connection and nothing else', async (_, sent, code) => {
    const [zero, two] = await pair();
    await eventually('connected', () => connected(zero, 2) && connected(two, 0));
    const { socket, ended } = await dial(`ws://127.0.0.1:${zero.at.port}/peer`);
    socket.on('open', () => socket.send(sent));
    expect(await ended).toMatch(new RegExp(`^${code}`));
    expect(connected(zero, 2)).toBe(true);
  });

  it('a challenge played back to its sender proves nothing', async () => {
    const zero = await node(0, [nowhere, nowhere, nowhere], { secret: 'a secret of some length' });
    const { socket, ended } = await dial(`ws://127.0.0.1:${zero.at.port}/peer`);
    socket.on('message', (data: Buffer) => socket.send(data));
    expect(await ended).toMatch(/^4006 .*played back/);
  });

  it('silence is ended by the deadline', async () => {
    const zero = await node(0, [nowhere, nowhere, nowhere]);
    const { ended } = await dial(`ws://127.0.0.1:${zero.at.port}/peer`);
    expect(await ended).toMatch(/^4007/);
  });
});
