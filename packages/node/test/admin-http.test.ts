import { request } from 'node:http';
import { clusterId, replicaId } from '@kimberlite/base';
import type { StatusRow } from '@kimberlite/wire';
import { afterEach, describe, expect, it } from 'vitest';
import { Access } from '../src/access.ts';
import type { AdminActions } from '../src/admin-actions.ts';
import { AdminHttp, type AdminOptions } from '../src/admin-http.ts';
import { ListenError } from '../src/listen.ts';
import { quietMetrics } from './records.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const row: StatusRow = {
  cluster: clusterId('0'.repeat(32)),
  replica: replicaId(1),
  endpoint: 'ws://127.0.0.1:7002',
  adminUrl: 'http://127.0.0.1:7022',
  dataDir: '/data',
  pid: 1,
  reachable: true,
  role: 'backup',
  status: 'normal',
  view: 3,
  primary: replicaId(0),
  epoch: 0,
  voters: [0, 1, 2],
  standbys: [],
  op: 9,
  commit: 8,
  checkpoint: 0,
  position: 7,
  stateHash: 'ab',
  stateHashOp: 8,
  version: '0.1.0',
  versionInForce: 1,
  versionNewest: 1,
  clockOffsetUs: null,
  diskUsedBytes: 0,
  divergence: null,
  diskRoom: 'enough',
  damageFound: 0,
  damageRepaired: 0,
  members: [],
};

const noActions: AdminActions = {
  replace: async (replica) => ({ ok: false, reason: `replica ${replica}: nobody replaces anything here` }),
  change: async ({ type }) => ({ ok: false, reason: `nobody can ${type} anything here`, again: false }),
  transfer: () => ({ ok: true }),
};

async function admin(changes: Partial<AdminOptions> = {}) {
  const metrics = quietMetrics();
  metrics.watchReplica(() => ({ ...row, applied: 8 }));
  const http = new AdminHttp({
    access: new Access({ hosts: ['db-1.example.com'], origins: () => ['http://db-0.example.com:7021'] }),
    page: '<!doctype html><title>page</title>',
    registry: metrics.registry,
    status: () => row,
    live: () => [{ name: 'process', problem: null }],
    actions: noActions,
    ready: () => [
      { name: 'log', problem: null },
      { name: 'replica', problem: 'is in view-change' },
    ],
    started: () => [{ name: 'log', problem: 'is being read' }],
    ...changes,
  });
  const at = await http.listen({ host: '127.0.0.1', port: 0 });
  closing.push(() => http.stop());
  return at.port;
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

function get(port: number, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

describe('health', () => {
  it('is a check a line, and 503 when one fails', async () => {
    const port = await admin();
    expect(await get(port, '/livez')).toMatchObject({ status: 200, body: '[+]process ok\n' });
    expect(await get(port, '/readyz')).toMatchObject({
      status: 503,
      body: '[+]log ok\n[-]replica is in view-change\n',
    });
    expect(await get(port, '/startupz?verbose')).toMatchObject({ status: 503, body: '[-]log is being read\n' });
  });
});

describe('what it shows', () => {
  it('status as JSON', async () => {
    const answer = await get(await admin(), '/status');
    expect(answer.headers['content-type']).toContain('application/json');
    expect(JSON.parse(answer.body)).toEqual(row);
  });

  it('metrics of the replica in the first scrape', async () => {
    const { body, headers } = await get(await admin(), '/metrics');
    expect(headers['content-type']).toContain('text/plain');
    for (const line of [
      'replica_up 1',
      'replica_view 3',
      'replica_commit_op 8',
      'replica_is_primary 0',
      'replica_status{status="normal"} 1',
    ])
      expect(body).toContain(`kimberlite_${line}\n`);
  });

  it('the page, which nobody may frame', async () => {
    const answer = await get(await admin(), '/');
    expect(answer.body).toContain('<title>page');
    expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'");
  });

  it('nothing else, and nothing can be written', async () => {
    const port = await admin();
    expect((await get(port, '/../etc/passwd')).status).toBe(404);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      expect((await get(port, '/status', {}, method)).status).toBe(405);
  });
});

describe('what operators ask for', () => {
  const asked = { 'x-kimberlite-action': '1' };
  it('is answered, also where the answer is no', async () => {
    const port = await admin();
    const transferred = await get(port, '/transfer', asked, 'POST');
    expect([transferred.status, JSON.parse(transferred.body)]).toEqual([200, { ok: true }]);
    const replaced = await get(port, '/members/2/replace', asked, 'POST');
    expect([replaced.status, JSON.parse(replaced.body)]).toMatchObject([
      409,
      { ok: false, reason: 'replica 2: nobody replaces anything here' },
    ]);
    expect((await get(port, '/members/22/replace', asked, 'POST')).status).toBe(404);
    expect((await get(port, '/transfer', asked)).status).toBe(404);
  });

  it('is not what a web page can make a browser send', async () => {
    const port = await admin();
    expect((await get(port, '/transfer', {}, 'POST')).status).toBe(405);
    expect((await get(port, '/transfer', { ...asked, origin: 'http://evil.example' }, 'POST')).status).toBe(403);
  });
});

describe('to whom', () => {
  it.each<[string, Record<string, string>, number, string | undefined]>([
    ['a program', {}, 200, undefined],
    ['a known name', { host: 'db-1.example.com:7021' }, 200, undefined],
    ['a rebound name', { host: 'evil.example' }, 403, undefined],
    ["another node's dashboard", { origin: 'http://db-0.example.com:7021' }, 200, 'http://db-0.example.com:7021'],
    ['its own page', { host: 'localhost:7021', origin: 'http://localhost:7021' }, 200, 'http://localhost:7021'],
    ['a foreign page', { origin: 'http://evil.example' }, 403, undefined],
  ])('%s', async (_, headers, status, allowed) => {
    const answer = await get(await admin(), '/status', headers);
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([status, allowed]);
    if (status === 403) expect(answer.body).toMatch(/allowed(Hosts|Origins)/);
  });
});

it('a busy port is named with its key and the fix', async () => {
  const port = await admin();
  const second = new AdminHttp({
    access: new Access({ hosts: [], origins: () => [] }),
    page: '',
    registry: quietMetrics().registry,
    status: () => row,
    live: () => [],
    actions: noActions,
    ready: () => [],
    started: () => [],
  });
  const failure = await second.listen({ host: '127.0.0.1', port }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ListenError);
  expect(String(failure)).toMatch(new RegExp(`admin port 127.0.0.1:${port} is in use.*--admin, KIMBERLITE_ADMIN`));
});
