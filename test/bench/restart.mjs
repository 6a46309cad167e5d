// How long a node takes to come back, against the size of its state.
//
//   node test/bench/restart.mjs [--sizes 16,64,256] [--value-bytes 900] [--json]
//
// Three nodes are filled with so many MiB of rows; then one is killed and started again, and timed until it has read its log,
// until it takes part (status normal), and until it has applied what the others have.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { memoryMiB, readArguments, shipped } from '../fuzz/processes.mjs';

const options = readArguments({ sizes: '16,64,256', valueBytes: 900, writers: 400, json: false });
const rows = [];
for (const size of options.sizes.split(',').map(Number)) {
  const row = await measure(size);
  rows.push(row);
  process.stderr.write(`${JSON.stringify(row)}\n`);
}
if (options.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
else console.table(rows);
process.exit(0);

async function measure(mebibytes) {
  const root = mkdtempSync(join(tmpdir(), 'kimberlite-restart-'));
  const cluster = await ProcessCluster.create({
    bin: shipped,
    nodes: 3,
    directory: root,
    settings: { logLevel: 'info' },
  });
  try {
    cluster.startAll();
    await cluster.converged();
    const checkpoint = await fill(cluster, mebibytes);
    await cluster.converged(300_000);
    const victim = ((await cluster.primary()) + 1) % 3;
    await checkpointed(cluster, victim, checkpoint);
    const disk = diskMiB(join(root, `node-${victim}`));
    const before = memoryMiB(cluster.pid(victim)).now;
    await cluster.signal(victim, 'SIGKILL');
    const began = performance.now();
    cluster.start(victim);
    const since = () => Math.round(performance.now() - began);
    const quickly = { timeoutMs: 600_000, everyMs: 20 };
    const readMs = await waitFor(
      'its log is read',
      async () => ((await startup(cluster, victim)) ? since() : undefined),
      quickly,
    );
    const normal = async () => ((await cluster.status(victim))?.status === 'normal' ? since() : undefined);
    const normalMs = await waitFor('status normal', normal, quickly);
    await cluster.converged(600_000);
    const convergedMs = since();
    const after = memoryMiB(cluster.pid(victim)).now;
    const [rssBeforeMiB, rssAfterMiB] = [Math.round(before), Math.round(after)];
    return { stateMiB: mebibytes, diskMiB: disk, readMs, normalMs, convergedMs, rssBeforeMiB, rssAfterMiB };
  } finally {
    await cluster.close();
    rmSync(root, { recursive: true, force: true });
  }
}

async function startup(cluster, replica) {
  try {
    const { admin } = cluster.members[replica];
    const response = await fetch(`http://127.0.0.1:${admin}/startupz`, { signal: AbortSignal.timeout(1000) });
    return response.ok;
  } catch {
    return false;
  }
}

async function fill(cluster, mebibytes) {
  const db = await connect({ endpoints: cluster.endpoints });
  await db.createTenant({ tenantId: 1, name: 'one' });
  const tenant = db.tenant(1);
  await tenant.createTable('t', { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] });
  const table = tenant.table('t');
  const count = Math.ceil((mebibytes * 1_048_576) / options.valueBytes);
  const text = 'v'.repeat(options.valueBytes);
  let next = 0;
  const write = async () => {
    while (next < count) await table.insert({ id: next++, text }, { timeoutMs: 120_000 });
  };
  await Promise.all(Array.from({ length: options.writers }, write));
  const { op } = await db.exec({ type: 'Checkpoint' });
  await db.close();
  return op;
}

/** The checkpoint asked for is named by that node. */
async function checkpointed(cluster, replica, op) {
  const newest = async () => ((await cluster.status(replica))?.checkpoint >= op ? true : undefined);
  await waitFor('the checkpoint', newest, { timeoutMs: 120_000 });
}

function diskMiB(directory) {
  const bytes = readdirSync(directory).reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
  return Math.round(bytes / 1_048_576);
}
