// Kimberlite and etcd under the same load, in turn, on the same machine and disk.
//
//   node test/bench/beside-etcd.mjs [--rounds 3] [--seconds 5] [--warm-up 10] [--levels 1,10,100,1000]
//     [--connections 10] [--etcd-load /path/to/etcd-load] [--directory /where/both/keep/their/data] [--json]
//
// Both are measured as they are after a while: --warm-up seconds of writes and half as many of reads at the highest
// level come first, for either, and our client leaves its first two seconds out at each level (etcd's is compiled
// before it starts; ours compiles itself while it runs). --warm-up 0 shows what processes do that have just started.
//
// Only one of the two runs at a time. Medians over rounds are compared, and as ratios: this machine's absolute figures
// mean little elsewhere. etcd is driven by its own Go client, ours by `kimberlite bench`; the processor time of both
// clients and of all servers is printed, because on a small machine the client is part of what is measured.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProcessCluster } from '@kimberlite/drill';
import { cpuSeconds, median, readArguments, shipped } from '../fuzz/processes.mjs';
import { startEtcd } from './etcd-cluster.mjs';
import { timedRun } from './timed-run.mjs';

const options = readArguments({
  rounds: 3,
  seconds: 5,
  warmUp: 10,
  levels: '1,10,100,1000',
  connections: 10,
  valueBytes: 256,
  etcdLoad: '',
  directory: tmpdir(),
  json: false,
});
const levels = options.levels.split(',').map(Number);
const modes = ['write', 'read'];
/** Seconds at each level that our client leaves out. */
const clientWarmUp = options.warmUp > 0 ? 2 : 0;
const say = (line) => process.stderr.write(`${line}\n`);

const directory = mkdtempSync(join(options.directory, 'kimberlite-beside-etcd-'));
const load = options.etcdLoad === '' ? buildLoad() : options.etcdLoad;
const systems = { etcd: runEtcd, kimberlite: runKimberlite };
const results = [];
try {
  for (let round = 0; round < options.rounds; round++) {
    // Who goes first changes, so that neither always meets the warmer machine.
    const order = round % 2 === 0 ? ['etcd', 'kimberlite'] : ['kimberlite', 'etcd'];
    for (const name of order) await systems[name](join(directory, `${name}-${round}`), round);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
report();

/** etcd's load generator, compiled from the sources beside this repository. */
function buildLoad() {
  const source = fileURLToPath(new URL('../../../shared/peers/etcd-load.go', import.meta.url));
  const target = join(directory, 'etcd-load');
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: join(directory, 'go-cache') };
  const built = existsSync(source) ? spawnSync('go', ['build', '-o', target, source], { env, encoding: 'utf8' }) : null;
  if (built?.status === 0) return target;
  say(
    `etcd-load cannot be built (${built?.stderr ?? `no ${source}`}): install golang-go and golang-etcd-server-dev, or give --etcd-load`,
  );
  rmSync(directory, { recursive: true, force: true });
  process.exit(1);
}

async function measure({ system, round, pids, mode, clients, run, keep = true }) {
  const before = pids.map(cpuSeconds).reduce((a, b) => a + b, 0);
  const { cpuSeconds: clientCpu, ...figures } = await run();
  const serverCpu = pids.map(cpuSeconds).reduce((a, b) => a + b, 0) - before;
  const row = { system, round, mode, clients, ...figures, clientCpu, serverCpu };
  if (keep) results.push(row);
  say(
    `${keep ? `round ${round + 1}` : 'warm-up'} ${system} ${mode} ${clients}: ${Math.round(row.opsPerSecond)} ops/s, p50 ${row.p50Ms} ms, p99 ${row.p99Ms} ms, errors ${row.errors}`,
  );
}

async function runEtcd(dir, round) {
  const etcd = await startEtcd(dir);
  try {
    const at = (mode, clients, seconds) => async () => {
      const connections = Math.min(options.connections, clients);
      const { stdout, cpuSeconds: cpu } = await timedRun(load, [
        '-endpoints',
        etcd.endpoints,
        '-clients',
        String(clients),
        '-conns',
        String(connections),
        '-secs',
        String(seconds),
        '-val',
        String(options.valueBytes),
        '-mode',
        mode === 'write' ? 'put' : 'get',
      ]);
      const found = /n=(\d+) ops\/s=(\d+) p50=([\d.]+)ms p99=([\d.]+)ms max=([\d.]+)ms/.exec(stdout);
      if (found === null) throw new Error(`etcd-load said: ${stdout}`);
      const [operations, opsPerSecond, p50Ms, p99Ms, maxMs] = found.slice(1).map(Number);
      return {
        operations,
        opsPerSecond,
        p50Ms,
        p99Ms,
        maxMs,
        errors: stdout.trim().split('\n').length - 1,
        cpuSeconds: cpu,
      };
    };
    await everything('etcd', round, etcd.pids, at);
  } finally {
    await etcd.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runKimberlite(dir, round) {
  const cluster = await ProcessCluster.create({ bin: shipped, nodes: 3, directory: dir });
  try {
    cluster.startAll();
    await cluster.primary();
    const at = (mode, clients, seconds) => async () => {
      const connections = Math.min(options.connections, clients);
      const { stdout, cpuSeconds: cpu } = await timedRun(process.execPath, [
        shipped,
        'bench',
        '--endpoints',
        cluster.endpoints.join(','),
        '--clients',
        String(clients),
        '--connections',
        String(connections),
        '--seconds',
        String(seconds),
        '--warm-up',
        String(clientWarmUp),
        '--value-bytes',
        String(options.valueBytes),
        '--mode',
        mode,
        '--json',
      ]);
      const { opsPerSecond, p50Ms, p99Ms, maxMs, errors } = JSON.parse(stdout);
      // For processor time an operation: those of the warm-up, which are not in the document, at the measured rate.
      const operations = opsPerSecond * (seconds + clientWarmUp);
      return { operations, opsPerSecond, p50Ms, p99Ms, maxMs, errors, cpuSeconds: cpu };
    };
    const pids = cluster.members.map(({ replica }) => cluster.pid(replica));
    await everything('kimberlite', round, pids, at);
  } finally {
    await cluster.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function everything(system, round, pids, at) {
  const most = Math.max(...levels);
  // Fills etcd's keys too, so that reads find something.
  const warmUp = { write: Math.max(1, options.warmUp), read: Math.floor(options.warmUp / 2) };
  for (const mode of modes) {
    if (warmUp[mode] === 0) continue;
    await measure({ system, round, pids, mode, clients: most, run: at(mode, most, warmUp[mode]), keep: false });
  }
  for (const mode of modes)
    for (const clients of levels)
      await measure({ system, round, pids, mode, clients, run: at(mode, clients, options.seconds) });
}

function report() {
  const rows = [];
  for (const mode of modes) {
    for (const clients of levels) {
      const of = (system) => {
        const mine = results.filter((r) => r.system === system && r.mode === mode && r.clients === clients);
        const middle = (name) => median(mine.map((r) => r[name]));
        const perThousand = (name) => median(mine.map((r) => (1000 * r[name]) / r.operations));
        return {
          opsPerSecond: middle('opsPerSecond'),
          p50Ms: middle('p50Ms'),
          p99Ms: middle('p99Ms'),
          clientCpuMsPerOp: perThousand('clientCpu'),
          serverCpuMsPerOp: perThousand('serverCpu'),
          errors: mine.reduce((sum, r) => sum + r.errors, 0),
        };
      };
      const etcd = of('etcd');
      const kimberlite = of('kimberlite');
      rows.push({
        mode,
        clients,
        etcd,
        kimberlite,
        throughputRatio: kimberlite.opsPerSecond / etcd.opsPerSecond,
        p50Ratio: kimberlite.p50Ms / etcd.p50Ms,
      });
    }
  }
  const version = spawnSync('etcd', ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0];
  const document = { etcd: version, node: process.version, cpus: cpus().length, ...options, rows, results };
  if (options.json) return process.stdout.write(`${JSON.stringify(document)}\n`);
  say(
    `\n${version}; Node ${process.version}; ${cpus().length} cores; medians of ${options.rounds} rounds of ${options.seconds} s after ${options.warmUp} s of warm-up, ${options.valueBytes}-byte values, at most ${options.connections} connections`,
  );
  say(
    'mode   calls |  etcd ops/s   p50 ms   p99 ms  cpu/op ms cl+srv |  kimb ops/s   p50 ms   p99 ms  cpu/op ms cl+srv | ops ratio  p50 ratio | errors',
  );
  for (const r of rows) {
    const half = (s) =>
      `${s.opsPerSecond.toFixed(0).padStart(11)} ${s.p50Ms.toFixed(2).padStart(8)} ${s.p99Ms.toFixed(2).padStart(8)}  ${`${s.clientCpuMsPerOp.toFixed(3)}+${s.serverCpuMsPerOp.toFixed(3)}`.padStart(16)}`;
    say(
      `${r.mode.padEnd(6)} ${String(r.clients).padStart(5)} | ${half(r.etcd)} | ${half(r.kimberlite)} | ${r.throughputRatio.toFixed(2).padStart(9)} ${r.p50Ratio.toFixed(2).padStart(10)} | ${r.etcd.errors}, ${r.kimberlite.errors}`,
    );
  }
}
