import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { protocolVersion } from '@kimberlite/base';
import { createCodec, type ServerMessage, type StatusRow } from '@kimberlite/wire';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { checkConfig, type NodeConfig } from '../src/config.ts';
import { explainProblems } from '../src/config-problem.ts';
import { formatNode } from '../src/format-node.ts';
import { type RunningNode, startNode } from '../src/start-node.ts';
import { eventually } from './eventually.ts';
import { RecordingJournal } from './records.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'kimberlite-node-'));
  closing.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** Below the range from which the system takes ports for outgoing connections: those are free only until somebody dials. */
async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 12_000 + (randomBytes(2).readUInt16LE() % 20_000);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

/** Configurations of a whole cluster; client and admin ports are chosen by the system at the start. */
async function configs(count: number, changes: Record<string, unknown> = {}): Promise<readonly NodeConfig[]> {
  const directory = temporary();
  const clusterId = randomBytes(16).toString('hex');
  const replicas = (await freePorts(count)).map((port) => `127.0.0.1:${port}`);
  return replicas.map((_, replica) => {
    const values = { clusterId, replica: String(replica), replicas, dataDir: join(directory, `node-${replica}`) };
    const checked = checkConfig({ ...values, client: '127.0.0.1:0', admin: '127.0.0.1:0', ...changes });
    if (!checked.ok) throw new Error(explainProblems(checked.error));
    return checked.value.config;
  });
}

async function start(config: NodeConfig): Promise<RunningNode & { readonly lines: RecordingJournal }> {
  const lines = new RecordingJournal();
  const node = await startNode({ config, journal: lines, page: '<title>the page</title>' });
  closing.push(() => node.stop());
  return { ...node, lines };
}

const statusOf = async (node: RunningNode): Promise<StatusRow> =>
  (await (await fetch(`${node.adminUrl}/status`)).json()) as StatusRow;

async function until<T>(what: string, ask: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  let latest: T | undefined;
  let asking = false;
  await eventually(
    what,
    () => {
      if (!asking) {
        asking = true;
        void ask().then(
          (value) => {
            latest = value;
            asking = false;
          },
          () => {
            asking = false;
          },
        );
      }
      return latest !== undefined && holds(latest);
    },
    20_000,
  );
  if (latest === undefined) throw new Error('unreachable');
  return latest;
}

const failureOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => String(error),
  );

describe('a cluster of three nodes', () => {
  it('elects a primary, serves, hands over when that stops, and comes back', async () => {
    const all = await configs(3);
    for (const config of all) await formatNode(config);
    const nodes = await Promise.all(all.map(start));
    await Promise.all(nodes.map((node) => node.opened));
    const rows = await until(
      'a primary is there and all have met',
      () => Promise.all(nodes.map(statusOf)),
      (seen) =>
        seen.every((row) => row.status === 'normal' && row.members.every((member) => member.adminUrl !== null)) &&
        seen.filter((row) => row.role === 'primary').length === 1,
    );
    expect(rows[1]?.members.map((member) => member.adminUrl)).toEqual(nodes.map((node) => node.adminUrl));
    const primary = rows.findIndex((row) => row.role === 'primary');
    const leaving = nodes[primary];
    const staying = nodes.filter((_, replica) => replica !== primary);
    if (leaving === undefined) throw new Error('no primary');
    const ready = await fetch(`${leaving.adminUrl}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([200, expect.stringContaining('[+]peers ok')]);

    const view = rows[primary]?.view ?? 0;
    await leaving.stop();
    const after = await until(
      'another primary is there',
      () => Promise.all(staying.map(statusOf)),
      (seen) => seen.some((row) => row.role === 'primary' && row.status === 'normal'),
    );
    expect(Math.max(...after.map((row) => row.view))).toBeGreaterThan(view);
    expect(leaving.lines.text()).not.toContain('nobody took over in time');

    const again = await start(leavingConfig(all, primary));
    await until(
      'it is back',
      () => statusOf(again),
      (row) => row.status === 'normal' && row.role === 'backup',
    );
  });

  it('answers a client, and a page only from its own dashboards', async () => {
    const [config] = await configs(1);
    if (config === undefined) throw new Error('no configuration');
    await formatNode(config);
    const node = await start(config);
    await node.opened;
    const codec = createCodec();
    const talk = (origin?: string): Promise<readonly ServerMessage[] | string> =>
      new Promise((resolve) => {
        const told: ServerMessage[] = [];
        const socket = new WebSocket(node.endpoint, origin === undefined ? {} : { origin });
        closing.push(() => socket.terminate());
        const hello = { type: 'hello', protocolVersion, client: 'c'.repeat(32), cluster: null } as const;
        socket.on('open', () => socket.send(codec.encodeClientFrame([hello as never, { type: 'status' }])));
        socket.on('message', (data: Buffer) => {
          const decoded = codec.decodeServerFrame(data);
          if (!decoded.ok) return resolve(decoded.error.message);
          // The welcome is a greeting, and travels in a frame of its own.
          told.push(...decoded.value);
          if (told.some(({ type }) => type === 'status')) resolve(told);
        });
        socket.on('error', (error) => resolve(error.message));
      });
    expect(await talk()).toMatchObject([{ type: 'welcome', cluster: config.clusterId }, { type: 'status' }]);
    expect(await talk(node.adminUrl)).toMatchObject([{ type: 'welcome' }, { type: 'status' }]);
    expect(await talk('http://evil.example')).toContain('403');
    expect(await (await fetch(`${node.adminUrl}/`)).text()).toContain('the page');
    expect(await (await fetch(`${node.adminUrl}/metrics`)).text()).toContain('kimberlite_replica_up 1');
  });
});

function leavingConfig(all: readonly NodeConfig[], replica: number): NodeConfig {
  const config = all[replica];
  if (config === undefined) throw new Error('no such replica');
  return config;
}

describe('a directory that cannot be used is named, with what to do', () => {
  const one = async (): Promise<NodeConfig> => {
    const [config] = await configs(1);
    if (config === undefined) throw new Error('no configuration');
    return config;
  };
  /** What a node says that gets as far as reading its log. */
  const refusal = async (config: NodeConfig): Promise<string> => {
    const node = await start(config);
    return (await node.failed).message;
  };

  it('missing', async () => {
    expect(await failureOf(startNode({ config: await one() }))).toMatch(/does not exist.*kimberlite format/);
  });

  it('not formatted', async () => {
    const config = await one();
    mkdirSync(config.dataDir);
    expect(await refusal(config)).toMatch(/kimberlite format/);
  });

  it('no directory', async () => {
    const config = await one();
    writeFileSync(config.dataDir, '');
    expect(await failureOf(startNode({ config }))).toMatch(/is not a directory/);
    expect(await failureOf(formatNode(config))).toMatch(/cannot be created|is not a directory/);
  });

  it('in use', async () => {
    const config = await one();
    await formatNode(config);
    await start(config);
    expect(await failureOf(startNode({ config }))).toMatch(/is in use by .*Stop that node first/);
    expect(await failureOf(formatNode(config))).toMatch(/is in use/);
  });

  it('of another cluster', async () => {
    const config = await one();
    await formatNode(config);
    expect(await refusal({ ...config, clusterId: 'f'.repeat(32) as NodeConfig['clusterId'] })).toMatch(/cluster/);
  });

  it('of another replica', async () => {
    const [zero, first] = await configs(3);
    if (zero === undefined || first === undefined) throw new Error('no configuration');
    await formatNode(zero);
    expect(await refusal({ ...first, dataDir: zero.dataDir })).toMatch(/replica/);
  });

  it('formatted already', async () => {
    const config = await one();
    await formatNode(config);
    const before = readdirSync(config.dataDir);
    expect(await failureOf(formatNode(config))).toMatch(/cannot be formatted: .*(already|exists)/);
    expect(readdirSync(config.dataDir)).toEqual(before);
  });

  it('a busy port is said at once, and everything is given back', async () => {
    const [config] = await configs(1);
    if (config === undefined) throw new Error('no configuration');
    await formatNode(config);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(config.peer.port, '127.0.0.1', resolve));
    closing.push(() => other.close());
    expect(await failureOf(startNode({ config }))).toMatch(/peer port 127\.0\.0\.1:\d+ is in use.*--peer.*replicas/);
    other.close();
    // The directory is free again, and so are the other ports.
    const node = await start(config);
    await node.opened;
  });
});
