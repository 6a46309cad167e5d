// A cluster of real processes under frames that nobody should send, while an ordinary client works.
//
//   node test/fuzz/frames.mjs [--frames 1000000] [--seed 1] [--json]
//
// Ends with 1 when a node died, a state hash differs, memory grew without bound, a connection that had to be closed was
// not, or the ordinary client saw anything but right answers.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { fuzzClientPorts } from './client-port.mjs';
import { fuzzPeerLinks, fuzzStrangers, interpose } from './peer-port.mjs';
import { memoryMiB, readArguments, shipped } from './processes.mjs';
import { Random } from './random.mjs';
import { Witness } from './witness.mjs';

const options = readArguments({ frames: 1_000_000, seed: 1, json: false, keep: false });
/** What a node may need beyond what it had when the fuzzing began: full queues, garbage not yet collected. */
const growthMaxMiB = 512;
/** Of it, what may be left at the end beyond half-way: a leak grows with the frames. */
const lateGrowthMaxMiB = 128;

const say = (line) => process.stderr.write(`${line}\n`);
const directory = mkdtempSync(join(tmpdir(), 'kimberlite-fuzz-'));
const random = new Random(options.seed);
const problems = [];
const cluster = await ProcessCluster.create({ bin: shipped, nodes: 3, directory });
const relays = await interpose(cluster, random);
let report;
try {
  report = await campaign();
} finally {
  relays.close();
  await cluster.close();
  if (options.keep) say(`kept ${directory}`);
  else rmSync(directory, { recursive: true, force: true });
}
if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
else print(report);
process.exitCode = report.problems.length === 0 ? 0 : 1;

async function campaign() {
  cluster.startAll();
  await cluster.primary();
  await waitFor('a relayed connection between all replicas', async () => (relays.allUp() ? true : undefined));
  const pids = cluster.members.map(({ replica }) => cluster.pid(replica));
  const witness = await Witness.join(cluster.endpoints);
  witness.start();
  await waitFor('the ordinary client at work', async () => (witness.writes > 500 ? true : undefined), {
    timeoutMs: 120_000,
  });
  const memory = () => pids.map((pid) => memoryMiB(pid));
  const before = memory();
  const { clusterId } = JSON.parse(readFileSync(cluster.members[0].config, 'utf8'));
  const startedAt = performance.now();
  const half = { peer: 0.3 * options.frames, client: 0.2 * options.frames };
  const firstClients = await fuzzClientPorts({
    cluster,
    random,
    frames: half.client,
    problems,
    onProgress: progress('client ports'),
  });
  const strangers = await fuzzStrangers({
    cluster,
    clusterId,
    random,
    connections: Math.min(5000, Math.ceil(options.frames / 100)),
    problems,
  });
  await fuzzPeerLinks({ relays, frames: half.peer, problems, onProgress: progress('peer links') });
  const middle = memory();
  // The rest on both kinds of port at once.
  const [clients, peers] = await Promise.all([
    fuzzClientPorts({ cluster, random, frames: half.client, problems, onProgress: progress('client ports') }),
    fuzzPeerLinks({ relays, frames: 2 * half.peer, problems, onProgress: progress('peer links') }),
  ]);
  const seconds = (performance.now() - startedAt) / 1000;
  await witness.stop();
  const after = memory();
  problems.push(...(await witness.check()));
  await witness.close();
  cluster.members.forEach(({ replica }, i) => {
    if (cluster.pid(replica) !== pids[i]) problems.push(`node ${replica} died: ${cluster.logTail(replica, 5)}`);
    if (after[i].peak - before[i].now > growthMaxMiB)
      problems.push(`node ${replica} grew from ${before[i].now} to ${after[i].peak} MiB`);
    if (after[i].now - middle[i].now > lateGrowthMaxMiB)
      problems.push(`node ${replica} goes on growing: ${middle[i].now} MiB half-way, ${after[i].now} at the end`);
  });
  const { op, hash } = await cluster.converged();
  return {
    seed: options.seed,
    frames: firstClients.frames + clients.frames + strangers.frames + peers.frames,
    clientFrames: add(firstClients.counts, clients.counts),
    strangerFrames: strangers.counts,
    peerFrames: peers.counts,
    seconds,
    witness: { writes: witness.writes, reads: witness.reads, slowestMs: witness.slowestMs },
    memoryMiB: before.map((row, i) => ({
      before: row.now,
      halfWay: middle[i].now,
      after: after[i].now,
      peak: after[i].peak,
    })),
    op,
    stateHash: hash,
    problems,
  };
}

function progress(what) {
  let saidAt = performance.now();
  return (frames) => {
    if (performance.now() - saidAt < 5000) return;
    saidAt = performance.now();
    say(`${what}: ${frames} frames`);
  };
}

function add(a, b) {
  const sum = { ...a };
  for (const [name, n] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + n;
  return sum;
}

function print(r) {
  for (const [title, counts] of [
    ['client ports', r.clientFrames],
    ['strangers at the peer port', r.strangerFrames],
    ['between replicas', r.peerFrames],
  ]) {
    say(`\n${title}`);
    for (const [name, n] of Object.entries(counts)) say(`  ${String(n).padStart(9)}  ${name}`);
  }
  say(`\n${r.frames} frames in ${r.seconds.toFixed(0)} s (seed ${r.seed})`);
  say(
    `ordinary client: ${r.witness.writes} writes and ${r.witness.reads} reads, slowest pair ${r.witness.slowestMs.toFixed(0)} ms`,
  );
  r.memoryMiB.forEach((m, i) =>
    say(
      `node ${i}: ${m.before.toFixed(0)} MiB before, ${m.halfWay.toFixed(0)} half-way, ${m.after.toFixed(0)} after, peak ${m.peak.toFixed(0)}`,
    ),
  );
  say(`state hash ${r.stateHash} at op ${r.op} on all nodes`);
  for (const problem of r.problems) say(`PROBLEM ${problem}`);
  say(r.problems.length === 0 ? 'pass' : `FAIL: ${r.problems.length} problems`);
}
