// A cluster grows from three nodes to five and shrinks back to three others, while clients write.
//
//   node test/membership/grow-and-shrink.mjs [--clients 20] [--json]
//
// Real processes, operated with the command line as an operator would. Every acknowledged row has to be there at the end, and
// once; the nodes that are left agree on the state; those that were removed have stopped by themselves. The table says
// what clients noticed: latencies of writes, step by step.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { readArguments, shipped } from '../fuzz/processes.mjs';
import { compareIds, Load, readIds } from './load.mjs';

const options = readArguments({ clients: 20, secondsBetween: 2, json: false });
const root = mkdtempSync(join(tmpdir(), 'kimberlite-members-'));
const say = (line) => process.stderr.write(`${line}\n`);
const failures = [];

const cluster = await ProcessCluster.create({
  bin: shipped,
  nodes: 3,
  directory: root,
  settings: { logLevel: 'warn', checkpointInterval: 512 },
});
const children = new Map();

/** A command of the CLI; its output. Throws when it fails. */
async function kimberlite(...args) {
  const child = spawn(process.execPath, [shipped, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`kimberlite ${args.join(' ')} failed:\n${out}${err}`);
  return out;
}

const endpoints = () => [...cluster.endpoints, ...[...children.values()].map(({ client }) => `ws://${client}`)];
const member = (...args) => kimberlite('member', ...args, '--endpoints', endpoints().join(','), '--json');

/** Configuration of one more node: that of node 0, with one more entry of `replicas`. */
async function configure(replica) {
  const base = JSON.parse(readFileSync(cluster.members[0].config, 'utf8'));
  const ports = await freePorts(3);
  const [client, peer, admin] = ports.map((port) => `127.0.0.1:${port}`);
  const known = [...children.values()].map((child) => child.peer);
  const config = join(root, `node-${replica}.json`);
  const dataDir = join(root, `node-${replica}`);
  writeFileSync(
    config,
    JSON.stringify({ ...base, replica, dataDir, client, peer, admin, replicas: [...base.replicas, ...known, peer] }),
  );
  return { config, client, peer, admin };
}

async function freePorts(count) {
  const { createServer } = await import('node:net');
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function start(replica, about) {
  const child = spawn(process.execPath, [shipped, 'start', '--config', about.config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const entry = { ...about, child, code: undefined, said: '' };
  child.stdout.on('data', (text) => (entry.said += text));
  child.stderr.on('data', (text) => (entry.said += text));
  child.on('exit', (code) => (entry.code = code));
  children.set(replica, entry);
}

async function handOverFrom(replicas) {
  for (;;) {
    const { primary } = JSON.parse(await kimberlite('status', '--endpoints', endpoints().join(','), '--json'));
    if (primary !== null && !replicas.includes(primary)) return;
    await kimberlite('transfer', '--endpoints', endpoints().join(','), '--json').catch(() => {});
  }
}

try {
  cluster.startAll();
  await cluster.converged();
  const db = await connect({ endpoints: cluster.endpoints });
  await db.createTenant({ tenantId: 1, name: 'one' });
  await db.tenant(1).createTable('t', { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] });
  const text = (id) => `row ${id}`;
  const load = new Load(db.tenant(1).table('t'), { clients: options.clients, text });
  const during = (name, act) => load.during(name, options.secondsBetween, act);
  await during('three nodes');
  for (const replica of [3, 4]) {
    const about = await configure(replica);
    await during(`replica ${replica} joins`, async () => {
      await member('add', '--config', about.config);
      start(replica, about);
    });
    await during(`replica ${replica} votes`, () => member('promote', String(replica)));
  }
  await during('node 2 is killed, and comes back', async () => {
    await cluster.signal(2, 'SIGKILL');
    cluster.start(2);
  });
  for (const replica of [0, 1]) {
    await during(`replica ${replica} leaves`, async () => {
      await handOverFrom([0, 1]);
      await member('remove', String(replica));
      await waitFor(`node ${replica} has stopped`, async () => (cluster.pid(replica) === undefined ? true : undefined));
    });
  }
  await load.stop();
  if (load.failure !== null) failures.push(`a write failed: ${load.failure}`);
  const list = JSON.parse(await member('list'));
  const votes = list.members.filter(({ votes }) => votes).map(({ replica }) => replica);
  if (votes.join() !== '2,3,4') failures.push(`replicas ${votes} vote, not 2, 3, 4`);
  const status = await waitFor('equal states', async () => {
    const { replicas } = JSON.parse(await kimberlite('status', '--endpoints', endpoints().join(','), '--json'));
    const hashes = new Set(replicas.map(({ stateHashOp, stateHash }) => `${stateHashOp}:${stateHash}`));
    return replicas.length === 3 && hashes.size === 1 ? replicas : undefined;
  });
  const compared = compareIds(load.acknowledged, await readIds(db.tenant(1)));
  failures.push(...compared.failures);
  const report = {
    epoch: list.epoch,
    acknowledged: load.acknowledged.length,
    lost: compared.lost,
    stateHash: status[0].stateHash,
    steps: load.rows(),
    failures,
  };
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else {
    console.table(report.steps);
    process.stdout.write(`epoch ${report.epoch}, ${report.acknowledged} writes acknowledged, ${report.lost} lost\n`);
    for (const failure of failures) process.stdout.write(`FAIL: ${failure}\n`);
    process.stdout.write(failures.length === 0 ? 'pass\n' : 'fail\n');
  }
} catch (error) {
  failures.push(String(error));
  process.stderr.write(`${error.stack}\n`);
  for (const [replica, { said }] of children) say(`node ${replica}: ${said.slice(-1500)}`);
  for (const replica of [0, 1, 2]) say(`node ${replica}: ${cluster.logTail(replica, 8)}`);
} finally {
  for (const { child } of children.values()) child.kill('SIGKILL');
  await cluster.close();
  rmSync(root, { recursive: true, force: true });
}
process.exit(failures.length === 0 ? 0 : 1);
