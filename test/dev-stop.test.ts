import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  cli,
  type DevCluster,
  freeBasePort,
  isAlive,
  kimberlite,
  portIsFree,
  portsOf,
  repository,
  Spoken,
  startDev,
  temporaryDirectory,
  until,
  upLine,
} from './support/dev-cluster.ts';

// Real processes, several a test: a busy machine takes its time.
vi.setConfig({ testTimeout: 180_000 });

// However a dev cluster ends, it leaves no process and no busy port behind.

let directory: ReturnType<typeof temporaryDirectory>;
let basePort = 0;

beforeEach(async () => {
  directory = temporaryDirectory();
  basePort = await freeBasePort();
});
afterEach(() => directory.remove());

async function nodePids(endpoints: string): Promise<number[]> {
  const { out } = await cli(['status', '--json', '--endpoints', endpoints]);
  const { replicas } = JSON.parse(out) as { replicas: { pid: number }[] };
  return replicas.map(({ pid }) => pid);
}

async function nothingLeft(pids: readonly number[]): Promise<void> {
  await until('every node is gone', () => pids.every((pid) => !isAlive(pid)), 20_000);
  const free = await Promise.all(portsOf(basePort, 3).map(portIsFree));
  expect(free.every(Boolean)).toBe(true);
}

const data = (): string => join(directory.path, 'data');

async function write(dev: DevCluster): Promise<void> {
  const { code, err } = await cli([
    'exec',
    '{"type":"CreateTenant","tenantId":1,"name":"kept"}',
    '--endpoints',
    dev.endpoints,
  ]);
  expect([code, err]).toEqual([0, '']);
}

async function stillThere(): Promise<void> {
  const dev = await startDev(data(), basePort);
  const { out } = await cli(['query', '{"tenantId":0,"table":"$tenants"}', '--json', '--endpoints', dev.endpoints]);
  await dev.stop();
  expect(JSON.parse(out)).toMatchObject({ rows: [{ tenantId: 1, name: 'kept' }] });
}

describe('stopping', () => {
  it('by Ctrl-C, which a terminal sends to everybody and npm once more: the second is ignored', async () => {
    const dev = await startDev(data(), basePort);
    await write(dev);
    const pids = await nodePids(dev.endpoints);
    dev.process.signalGroup('SIGINT');
    dev.process.child.kill('SIGINT');
    expect(await dev.process.ended).toEqual({ code: 0, signal: null });
    expect(dev.process.err).toContain('Stopped.');
    expect(dev.process.err).not.toContain('at once');
    await nothingLeft(pids);
    await stillThere();
  });

  it('by a third signal, for those who do not want to wait', async () => {
    const dev = await startDev(data(), basePort);
    await write(dev);
    const pids = await nodePids(dev.endpoints);
    for (const pid of pids) process.kill(pid, 'SIGSTOP'); // They cannot stop by themselves now.
    for (let press = 0; press < 3; press++) {
      dev.process.child.kill('SIGINT');
      await new Promise((resolve) => setTimeout(resolve, 100)); // Signals that are pending together count once.
    }
    expect((await dev.process.ended).signal).toBeNull();
    expect(dev.process.err).toContain('at once');
    await nothingLeft(pids);
    await stillThere();
  });

  it('by KILL of dev: the nodes notice by themselves', async () => {
    const dev = await startDev(data(), basePort);
    await write(dev);
    const pids = await nodePids(dev.endpoints);
    dev.process.child.kill('SIGKILL');
    await dev.process.ended;
    await nothingLeft(pids);
    await stillThere();
  });

  it('by TERM to npm, which stands between', async () => {
    const flags = `--data-dir ${data()} --base-port ${basePort}`;
    const npm = new Spoken('npm', ['start', '--', ...flags.split(' ')]);
    await npm.says(upLine);
    const endpoints = `ws://127.0.0.1:${basePort}`;
    const pids = await nodePids(endpoints);
    npm.child.kill('SIGTERM');
    await npm.ended;
    expect(npm.out + npm.err).not.toContain('ELIFECYCLE');
    await nothingLeft(pids);
  });

  it('by Ctrl-C at npm, without a complaint of npm about a clean stop', async () => {
    const npm = new Spoken('npm', ['start', '--', '--data-dir', data(), '--base-port', String(basePort)]);
    await npm.says(upLine);
    const pids = await nodePids(`ws://127.0.0.1:${basePort}`);
    npm.signalGroup('SIGINT');
    const { code } = await npm.ended;
    expect(npm.out + npm.err).not.toMatch(/ELIFECYCLE|npm error/);
    expect(code).toBe(0);
    await nothingLeft(pids);
  });
});

describe('starting again', () => {
  it('refuses to format one node whose directory is missing, and names recover', async () => {
    const dev = await startDev(data(), basePort);
    await write(dev);
    await dev.stop();
    renameSync(join(data(), 'node-1'), join(directory.path, 'lost'));
    const refused = await cli(['dev', '--data-dir', data(), '--base-port', String(basePort)]);
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/node 1 is missing.*recover/s);
    expect(existsSync(join(data(), 'node-1'))).toBe(false);
    renameSync(join(directory.path, 'lost'), join(data(), 'node-1'));
    await stillThere();
  });

  it('wipes with --fresh what a dev cluster put there, and nothing where anything else lies too', async () => {
    const dev = await startDev(data(), basePort);
    await write(dev);
    await dev.stop();
    const other = await cli(['dev', '--fresh', '--data-dir', directory.path, '--base-port', String(basePort)]);
    expect(other.code).toBe(1);
    expect(other.err).toContain('deletes nothing there');
    expect(readdirSync(data())).toContain('node-0');
    const before = readFileSync(join(data(), 'cluster.json'), 'utf8');
    const fresh = await startDev(data(), basePort, ['--fresh']);
    const { out } = await cli(['query', '{"tenantId":0,"table":"$tenants"}', '--json', '--endpoints', fresh.endpoints]);
    await fresh.stop();
    expect(JSON.parse(out)).toMatchObject({ rows: [] });
    expect(readFileSync(join(data(), 'cluster.json'), 'utf8')).not.toBe(before);
  });

  it('refuses another number of nodes than the data has', async () => {
    const dev = await startDev(data(), basePort);
    await dev.stop();
    const refused = await cli(['dev', '--nodes', '5', '--data-dir', data(), '--base-port', String(basePort)]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('has 3 nodes');
  });

  it('leaves a dead node down with --no-restart, and ends when all are', async () => {
    const dev = await startDev(data(), basePort, ['--no-restart']);
    const pids = await nodePids(dev.endpoints);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    expect((await dev.process.ended).code).toBe(1);
    expect(dev.process.err).toContain('stays down');
    await nothingLeft(pids);
  });
});

it('the package is found by its name, from the built output', () => {
  expect(existsSync(join(repository, 'node_modules/@kimberlite/client/dist/index.js'))).toBe(true);
  expect(existsSync(join(repository, 'node_modules/.bin/kimberlite'))).toBe(true);
  expect(typeof kimberlite).toBe('function');
});
