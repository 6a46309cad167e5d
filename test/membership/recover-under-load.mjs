// A node whose disk is gone comes back while clients write, and what they notice of it.
//
//   node test/membership/recover-under-load.mjs [--mib 128] [--clients 20] [--rest-ms 5] [--json]
//
// Three real nodes with a state of so many MiB. One is killed and its directory removed; an empty one takes its place
// (`kimberlite recover`) and fetches the state from the others, while clients write at a steady pace. The table has the
// latencies of their writes, step by step; at the end all states are equal, and every acknowledged row is there.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { readArguments, shipped } from '../fuzz/processes.mjs';
import { compareIds, Load, readIds } from './load.mjs';

const options = readArguments({ mib: 128, clients: 20, restMs: 5, secondsBetween: 5, json: false });
const rowBytes = 900;
const root = mkdtempSync(join(tmpdir(), 'kimberlite-recover-'));
const failures = [];
const cluster = await ProcessCluster.create({
  bin: shipped,
  nodes: 3,
  directory: root,
  settings: { logLevel: 'info' },
});

/** A command of the CLI. Throws when it fails. */
async function kimberlite(...args) {
  const child = spawn(process.execPath, [shipped, ...args, '--endpoints', cluster.endpoints.join(',')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`kimberlite ${args.join(' ')} failed:\n${said}`);
}

/** Rows of another tenant: the ids that are counted begin with those that the clients write. */
async function fill(db) {
  await db.createTenant({ tenantId: 2, name: 'ballast' });
  await db.tenant(2).createTable('t', { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] });
  const table = db.tenant(2).table('t');
  const count = Math.ceil((options.mib * 1_048_576) / rowBytes);
  let next = 0;
  const write = async () => {
    while (next < count) await table.insert({ id: next++, text: 'v'.repeat(rowBytes) }, { timeoutMs: 120_000 });
  };
  await Promise.all(Array.from({ length: 400 }, write));
  await db.exec({ type: 'Checkpoint' });
}

try {
  cluster.startAll();
  await cluster.converged();
  const db = await connect({ endpoints: cluster.endpoints });
  await db.createTenant({ tenantId: 1, name: 'one' });
  await db.tenant(1).createTable('t', { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] });
  await fill(db);
  await cluster.converged(300_000);
  const victim = ((await cluster.primary()) + 1) % 3;
  const text = (id) => `row ${id}`;
  const load = new Load(db.tenant(1).table('t'), { clients: options.clients, text, restMs: options.restMs });
  const pause = options.secondsBetween;
  await load.during('before', pause);
  await load.during('one node is lost', pause, async () => {
    await cluster.signal(victim, 'SIGKILL');
    rmSync(join(root, `node-${victim}`), { recursive: true });
  });
  await load.during('an empty one takes its place and fetches the state', 0, async () => {
    await kimberlite('recover', '--config', cluster.members[victim].config, '--old-machine-is-gone');
    cluster.start(victim);
    const normal = async () => {
      const [row, other] = [await cluster.status(victim), await cluster.status((victim + 1) % 3)];
      return row?.status === 'normal' && row.checkpoint > 0 && other !== undefined && other.commit - row.commit < 64
        ? true
        : undefined;
    };
    await waitFor('the new node to have caught up', normal, { timeoutMs: 300_000 });
  });
  await load.during('after', pause);
  await load.stop();
  if (load.failure !== null) failures.push(`a write failed: ${load.failure}`);
  const { hash } = await cluster.converged(120_000);
  const compared = compareIds(load.acknowledged, await readIds(db.tenant(1)));
  failures.push(...compared.failures);
  await db.close();
  const report = {
    stateMiB: options.mib,
    acknowledged: load.acknowledged.length,
    lost: compared.lost,
    stateHash: hash,
    steps: load.rows(),
    failures,
  };
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else {
    console.table(report.steps);
    process.stdout.write(`${report.acknowledged} writes acknowledged, ${report.lost} lost\n`);
    for (const failure of failures) process.stdout.write(`FAIL: ${failure}\n`);
    process.stdout.write(failures.length === 0 ? 'pass\n' : 'fail\n');
  }
} catch (error) {
  failures.push(String(error));
  process.stderr.write(`${error.stack}\n`);
  for (const replica of [0, 1, 2]) process.stderr.write(`node ${replica}: ${cluster.logTail(replica, 8)}\n`);
} finally {
  await cluster.close();
  rmSync(root, { recursive: true, force: true });
}
process.exit(failures.length === 0 ? 0 : 1);
