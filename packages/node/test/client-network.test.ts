import { createCodec, type ServerMessage } from '@kimberlite/wire';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Access } from '../src/access.ts';
import { ClientNetwork, type ClientNetworkOptions } from '../src/client-network.ts';
import { eventually } from './eventually.ts';
import { quietMetrics, RecordingJournal, sample } from './records.ts';

const codec = createCodec();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type Bounds = Partial<Pick<ClientNetworkOptions, 'connectionsMax' | 'queueBytesMax' | 'queueBytesTotalMax'>>;

async function server(bounds: Bounds = {}) {
  const journal = new RecordingJournal();
  const metrics = quietMetrics();
  const opened: number[] = [];
  const closed: number[] = [];
  const received: { readonly from: number; readonly bytes: Uint8Array }[] = [];
  const network = new ClientNetwork({
    access: new Access({ hosts: ['db.example.com'], origins: () => ['http://127.0.0.1:7021'] }),
    codec,
    connectionsMax: 10,
    queueBytesMax: 1_000_000,
    queueBytesTotalMax: 10_000_000,
    ...bounds,
    opened: (id) => opened.push(id),
    receive: (from, bytes) => received.push({ from, bytes }),
    closed: (id) => closed.push(id),
    journal,
    metrics,
  });
  const { port } = await network.listen({ host: '127.0.0.1', port: 0 });
  closing.push(() => network.stop());
  return { network, journal, metrics, opened, closed, received, port };
}

/** A client of raw frames. `ended` tells how the connection finished. */
function client(port: number, options: { headers?: Record<string, string>; origin?: string } = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false, ...options });
  closing.push(() => socket.terminate());
  const frames: Buffer[] = [];
  socket.on('message', (data: Buffer) => frames.push(data));
  const ended = new Promise<string>((resolve) => {
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve(`http ${response.statusCode} ${body}`));
    });
    socket.on('close', (code, reason) => resolve(`${code} ${reason.toString()}`));
    socket.on('error', () => {});
  });
  const isOpen = new Promise<void>((resolve) => socket.on('open', () => resolve()));
  return { socket, frames, ended, isOpen };
}

const errorsIn = (frames: readonly Buffer[]): string[] =>
  frames.flatMap((frame) => {
    const messages = codec.decodeServerFrame(frame);
    const list: readonly ServerMessage[] = messages.ok ? messages.value : [];
    return list.flatMap((message) => (message.type === 'error' ? [message.code] : []));
  });

describe('who may connect', () => {
  it.each<[string, { headers?: Record<string, string>; origin?: string }]>([
    ['a program, which sends no origin', {}],
    ['by a loopback name', { headers: { host: 'localhost:7001' } }],
    ['by a loopback address', { headers: { host: '127.9.9.9' } }],
    ['by IPv6 loopback', { headers: { host: '[::1]:7001' } }],
    ['by a configured name', { headers: { host: 'DB.example.com:443' } }],
    ['a page of the cluster', { origin: 'http://127.0.0.1:7021' }],
    ['the same page under another loopback name', { origin: 'http://localhost:7021' }],
  ])('%s', async (_, options) => {
    const { port, opened } = await server();
    await client(port, options).isOpen;
    expect(opened).toEqual([1]);
  });

  it.each<[string, { headers?: Record<string, string>; origin?: string }, RegExp]>([
    ['a foreign page', { origin: 'https://evil.example' }, /^http 403 .*evil\.example.*allowedOrigins/],
    ['a page of another port', { origin: 'http://127.0.0.1:7022' }, /^http 403 .*allowedOrigins/],
    ['a page without an origin of its own', { origin: 'null' }, /^http 403/],
    ['a rebound name', { headers: { host: 'evil.example:7001' } }, /^http 403 .*"evil\.example:7001".*allowedHosts/],
    ['a name that only looks like loopback', { headers: { host: 'localhost.evil.example' } }, /^http 403/],
    ['a name that begins like an address', { headers: { host: '127.0.0.1.evil.example' } }, /^http 403/],
    ['a name with a user', { headers: { host: 'evil@localhost' } }, /^http 403/],
  ])('but not %s', async (_, options, answer) => {
    const { port, opened } = await server();
    expect(await client(port, options).ended).toMatch(answer);
    expect(opened).toEqual([]);
  });

  it('nobody beyond the bound', async () => {
    const { port, metrics } = await server({ connectionsMax: 2 });
    await client(port).isOpen;
    await client(port).isOpen;
    expect(await client(port).ended).toMatch(/^http 503 .*clientsMax/);
    expect(await sample(metrics, 'kimberlite_client_connections')).toBe(2);
  });

  it('plain HTTP is told what the port is for', async () => {
    const { port } = await server();
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect([response.status, await response.text()]).toEqual([426, expect.stringContaining('client port')]);
  });
});

it('a name is required, and where the connection arrived is one', () => {
  const access = new Access({ hosts: [], origins: () => [] });
  expect([undefined, '', ':7001', '/'].map((header) => access.hostAllowed(header, '10.0.0.1'))).toEqual(
    Array(4).fill(false),
  );
  expect(access.hostAllowed('10.0.0.1:7001', '::ffff:10.0.0.1')).toBe(true);
  expect(access.hostAllowed('10.0.0.2:7001', '10.0.0.1')).toBe(false);
});

describe('a connection', () => {
  it('carries frames both ways and has a number of its own', async () => {
    const { port, network, received, opened, closed } = await server();
    const a = client(port);
    await a.isOpen;
    const b = client(port);
    await b.isOpen;
    b.socket.send(Uint8Array.of(1, 2, 3));
    await eventually('the frame is there', () => received.length === 1);
    expect(received[0]).toEqual({ from: 2, bytes: Uint8Array.of(1, 2, 3) });
    expect(Object.getPrototypeOf(received[0]?.bytes)).toBe(Uint8Array.prototype);
    network.send(2, Uint8Array.of(4));
    await eventually('the answer is there', () => b.frames.length === 1);
    expect(a.frames).toEqual([]);
    a.socket.close();
    await eventually('the close is told', () => closed.length === 1);
    expect([opened, closed]).toEqual([[1, 2], [1]]);
    network.send(1, Uint8Array.of(5));
  });

  it('is closed with the reason the host gives', async () => {
    const { port, network } = await server();
    const { ended, isOpen, frames } = client(port);
    await isOpen;
    network.send(1, codec.encodeServerFrame([{ type: 'error', code: 'wrong-cluster', message: 'not here' }]));
    network.close(1, `not this cluster: ${'é'.repeat(200)}`);
    expect(await ended).toMatch(/^1008 not this cluster: é+…$/);
    expect(errorsIn(frames)).toEqual(['wrong-cluster']);
  });

  it('without a hello is ended', async () => {
    const { port } = await server();
    const { ended, frames } = client(port);
    expect(await ended).toMatch(/^1008 not-greeted/);
    expect(errorsIn(frames)).toEqual(['not-greeted']);
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ['text', 'hello', /^1008 bad-frame/],
    ['an oversized frame', new Uint8Array(4_194_305), /^(1009|1008 too-large|1006)/],
  ])('that sends %s is ended', async (_, sent, reason) => {
    const { port, received, closed } = await server();
    const { socket, ended, isOpen } = client(port);
    await isOpen;
    socket.send(sent);
    expect(await ended).toMatch(reason);
    await eventually('the host is told', () => closed.length === 1);
    expect(received).toEqual([]);
  });

  it('is told when the node stops', async () => {
    const { port, network } = await server();
    const { ended, isOpen, frames } = client(port);
    await isOpen;
    await network.stop();
    expect(await ended).toMatch(/^1008 stopping/);
    expect(errorsIn(frames)).toEqual(['stopping']);
  });
});

describe('a client that does not read its replies', () => {
  const flood = async (bounds: Bounds, clients: number) => {
    const made = await server(bounds);
    const deaf = Array.from({ length: clients }, () => client(made.port));
    for (const one of deaf) {
      await one.isOpen;
      // Its greeting; whatever comes after that it ignores.
      one.socket.send(Uint8Array.of(0));
      one.socket.pause();
    }
    await eventually('all have greeted', () => made.received.length === clients);
    return { ...made, deaf };
  };
  const frame = new Uint8Array(200_000);

  it('is closed once what waits passes its bound; others are not', async () => {
    const { network, journal, closed, metrics, port } = await flood({ queueBytesTotalMax: 1_000_000_000 }, 1);
    const well = client(port);
    await well.isOpen;
    // The kernel's buffers take the first megabytes.
    await eventually('it is closed', () => {
      network.send(1, frame);
      network.send(2, frame.subarray(0, 10));
      return closed.length > 0;
    });
    expect(closed).toEqual([1]);
    expect(journal.text()).toContain('does not read its replies');
    expect(await sample(metrics, 'kimberlite_client_refusals_total{reason="slow-reader"}')).toBe(1);
    expect(well.socket.readyState).toBe(WebSocket.OPEN);
  });

  it('many of them together have a bound too', async () => {
    const { network, closed } = await flood({ queueBytesMax: 30_000_000, queueBytesTotalMax: 4_000_000 }, 3);
    await eventually('one is closed', () => {
      for (const id of [1, 2, 3]) network.send(id, frame);
      return closed.length > 0;
    });
    expect(closed.length).toBeLessThan(3);
  });

  it('is not read from either while much waits, and is heard again when it reads on', async () => {
    const { network, deaf, received } = await flood({ queueBytesMax: 100_000_000, queueBytesTotalMax: 100_000_000 }, 1);
    const [one] = deaf;
    for (let i = 0; i < 150; i++) network.send(1, frame);
    one?.socket.send(Uint8Array.of(1));
    let turns = 0;
    await eventually('some turns have passed', () => ++turns > 50);
    expect(received).toHaveLength(1);
    one?.socket.resume();
    await eventually('it is heard', () => received.length === 2);
    expect(one?.frames.length).toBeGreaterThan(0);
  });

  it('is closed even if it never asks for more', async () => {
    const { network, closed, journal } = await flood(
      { queueBytesMax: 100_000_000, queueBytesTotalMax: 100_000_000 },
      1,
    );
    for (let i = 0; i < 100; i++) network.send(1, frame);
    await eventually('it is closed', () => closed.length === 1, 20_000);
    expect(journal.text()).toContain('does not read its replies');
  });
});
