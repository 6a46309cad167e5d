import { request as httpRequest } from 'node:http';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { clientId, clusterId } from '@kimberlite/base';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bin, kimberlite, scratch } from './kimberlite.ts';
import { codec, RawClient } from './raw-client.ts';

// Who may come in: web pages of strangers, clients and replicas of other clusters, of other versions.

const { path: root, remove } = scratch();
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.create({ bin, nodes: 3, directory: `${root}/cluster` });
  cluster.startAll();
  await cluster.primary(60_000);
}, 120_000);
afterAll(async () => {
  await cluster?.close();
  remove();
});

const ports = (replica = 0): { client: number; peer: number; admin: number } => {
  const member = cluster.members[replica];
  if (member === undefined) throw new Error('there are three nodes');
  return member;
};

function get(
  port: number,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string; headers: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path, headers }, (response) => {
      let body = '';
      response.on('data', (text: Buffer) => {
        body += text.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

const upgrade = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

describe('web pages', () => {
  test('a foreign origin gets nothing from the admin port', async () => {
    const { status, body, headers } = await get(ports().admin, '/status', { origin: 'https://evil.example' });
    expect(status).toBe(403);
    expect(body).toMatch(/https:\/\/evil\.example.*allowedOrigins/);
    expect(headers).not.toHaveProperty('access-control-allow-origin');
  });

  test('a foreign name (a page whose own name was made to resolve here) neither', async () => {
    const { status, body } = await get(ports().admin, '/status', { host: 'evil.example' });
    expect(status).toBe(403);
    expect(body).toMatch(/evil\.example.*allowedHosts/);
  });

  test.each([
    ['client', { origin: 'https://evil.example' }, /evil\.example.*allowedOrigins/],
    ['client', { origin: 'null' }, /allowedOrigins/],
    ['client', { host: 'evil.example:7001' }, /evil\.example.*allowedHosts/],
    ['peer', { origin: 'http://127.0.0.1' }, /no business on the peer port/],
  ] as const)('the %s port refuses an upgrade with %o', async (port, headers, text) => {
    const { status, body } = await get(ports()[port], '/peer', { ...upgrade, ...headers });
    expect(status).toBe(403);
    expect(body).toMatch(text);
  });

  test("the cluster's own dashboard comes in", async () => {
    const own = `http://127.0.0.1:${ports(1).admin}`;
    expect(await get(ports().admin, '/status', { origin: own })).toMatchObject({
      status: 200,
      headers: { 'access-control-allow-origin': own },
    });
    const client = await RawClient.open(`ws://127.0.0.1:${ports().client}`, { origin: own });
    client.close();
  });

  test('a browser that is pointed at the client port is told what it is', async () => {
    const { status, body } = await get(ports().client, '/', {});
    expect(status).toBe(426);
    expect(body).toMatch(/client port.*SDK/);
  });
});

describe('clients', () => {
  const hello = { type: 'hello', protocolVersion: 1, client: clientId('1'.repeat(32)), cluster: null } as const;
  test.each([
    ['of another cluster', { ...hello, cluster: clusterId('f'.repeat(32)) }, 'wrong-cluster', /check the endpoints/],
    ['of another version', { ...hello, protocolVersion: 7 }, 'wrong-version', /version 7: use an older client/],
  ] as const)('%s', async (_name, greeting, code, text) => {
    const client = await RawClient.open(`ws://127.0.0.1:${ports().client}`);
    client.send([greeting]);
    expect(await client.next('error')).toMatchObject({ code, message: expect.stringMatching(text) });
    await client.closed;
  });

  test('one that does not greet first', async () => {
    const client = await RawClient.open(`ws://127.0.0.1:${ports().client}`);
    client.send([{ type: 'status' }]);
    expect(await client.next('error')).toMatchObject({ code: 'not-greeted', message: expect.stringMatching(/hello/) });
    await client.closed;
  });

  test('one that says nothing at all', async () => {
    const client = await RawClient.open(`ws://127.0.0.1:${ports().client}`);
    expect(await client.next('error')).toMatchObject({ code: 'not-greeted' });
    await client.closed;
  });

  test('a damaged frame', async () => {
    const client = await RawClient.open(`ws://127.0.0.1:${ports().client}`);
    const frame = codec.encodeClientFrame([hello]);
    frame[20] = (frame[20] ?? 0) ^ 1;
    client.sendBytes(frame);
    expect(await client.next('error')).toMatchObject({ code: 'bad-frame', message: expect.stringMatching(/damaged/) });
    await client.closed;
  });

  test('a frame larger than any may be', async () => {
    const client = await RawClient.open(`ws://127.0.0.1:${ports().client}`);
    client.send([hello]);
    await client.next('welcome');
    client.sendBytes(randomBytes(5_000_000));
    expect(await client.closed).toBe(1009);
  });
});

describe('replicas', () => {
  const member = (replica: number): { config: string } => {
    const found = cluster.members[replica];
    if (found === undefined) throw new Error('there are three nodes');
    return found;
  };

  /** Starts replica 2 with a changed configuration and a new directory; gives what it, or the others, say to it. */
  async function impostor(changes: Record<string, unknown>, text: RegExp): Promise<void> {
    const original = readFileSync(member(2).config, 'utf8');
    const values: Record<string, unknown> = JSON.parse(original);
    await cluster.signal(2, 'SIGTERM');
    try {
      const dataDir = `${root}/impostor-${randomBytes(4).toString('hex')}`;
      writeFileSync(member(2).config, JSON.stringify({ ...values, dataDir, ...changes }));
      expect(await kimberlite(['format', '--config', member(2).config])).toMatchObject({ code: 0 });
      cluster.start(2);
      await waitFor('words about the mistake', async () => (text.test(cluster.logTail(2, 400)) ? true : undefined), {
        timeoutMs: 30_000,
      });
      // The others go on without it, and let nothing of it in.
      const db = await connect({ endpoints: cluster.endpoints.slice(0, 2) });
      await db.query({ tenantId: 0, table: '$tenants' });
      await db.close();
      await cluster.signal(2, 'SIGKILL');
    } finally {
      writeFileSync(member(2).config, original);
      if (cluster.pid(2) === undefined) cluster.start(2);
    }
    await cluster.converged();
  }

  test('of another cluster', async () => {
    await impostor(
      { clusterId: 'c'.repeat(32) },
      /wrong-cluster.*check clusterId and replicas|check clusterId and replicas/s,
    );
  }, 120_000);

  test('that counts the replicas differently', async () => {
    const values: { replicas: string[] } = JSON.parse(readFileSync(member(2).config, 'utf8'));
    await impostor({ replicas: [...values.replicas, '127.0.0.1:9', '127.0.0.1:10'] }, /vote.*give all nodes the same/s);
  }, 120_000);

  test('with a secret the others do not have', async () => {
    await impostor({ peerSecret: 'one two three four five six' }, /peerSecret.*give all nodes the same/s);
  }, 120_000);

  test('that takes another one for itself', async () => {
    const values: { replicas: string[] } = JSON.parse(readFileSync(member(2).config, 'utf8'));
    const [zero = '', one = '', two = ''] = values.replicas;
    // Its list has the first two the wrong way round.
    await impostor({ replicas: [one, zero, two] }, /check the order of `replicas`/);
  }, 120_000);
});
