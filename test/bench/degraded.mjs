// What a dead or a stopped backup costs the others, at a fixed offered rate of half of what the cluster can do.
//
//   node test/bench/degraded.mjs [--rounds 5] [--seconds 5] [--rate 0] [--json]
//
// Healthy and degraded runs alternate; each degraded run is held against the healthy one right before it, and the median
// of those ratios counts. Killing a process frees processor time here, so this alone proves little: the simulator holds
// messages, bytes and commit latency of the same situations against each other.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProcessCluster } from '@kimberlite/drill';
import { median, readArguments, shipped } from '../fuzz/processes.mjs';
import { OfferedLoad } from './offered-load.mjs';

const options = readArguments({ rounds: 5, seconds: 5, rate: 0, json: false });
const say = (line) => process.stderr.write(`${line}\n`);
const directory = mkdtempSync(join(tmpdir(), 'kimberlite-degraded-'));
const cluster = await ProcessCluster.create({ bin: shipped, nodes: 3, directory });
const settle = () => new Promise((resolve) => setTimeout(resolve, 500));

const faults = {
  killed: { on: (backup) => cluster.signal(backup, 'SIGKILL'), off: (backup) => cluster.start(backup) },
  stopped: { on: (backup) => cluster.signal(backup, 'SIGSTOP'), off: (backup) => cluster.signal(backup, 'SIGCONT') },
};

try {
  cluster.startAll();
  await cluster.primary();
  const load = await OfferedLoad.join({ endpoints: cluster.endpoints });
  await load.maximum({ seconds: 3 });
  const maximum = await load.maximum({ seconds: options.seconds });
  const opsPerSecond = options.rate > 0 ? options.rate : maximum / 2;
  say(`maximum ${maximum.toFixed(0)} ops/s; offered ${opsPerSecond.toFixed(0)} ops/s`);
  await load.offer({ opsPerSecond, seconds: 2 });
  const rounds = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const [fault, { on, off }] of Object.entries(faults)) {
      const healthy = await load.offer({ opsPerSecond, seconds: options.seconds });
      const backup = ((await cluster.primary()) + 1 + (round % 2)) % 3;
      await on(backup);
      // What is measured is the state, not the moment of the fault.
      await settle();
      const degraded = await load.offer({ opsPerSecond, seconds: options.seconds });
      await off(backup);
      await cluster.converged();
      await settle();
      const row = {
        round,
        fault,
        backup,
        healthy,
        degraded,
        throughputRatio: degraded.throughput / healthy.throughput,
        p99Ratio: degraded.p99Ms / healthy.p99Ms,
        p50Ratio: degraded.p50Ms / healthy.p50Ms,
      };
      rounds.push(row);
      say(
        `round ${round + 1} backup ${backup} ${fault}: throughput ${healthy.throughput.toFixed(0)} → ${degraded.throughput.toFixed(0)}, p50 ${healthy.p50Ms.toFixed(1)} → ${degraded.p50Ms.toFixed(1)} ms, p99 ${healthy.p99Ms.toFixed(1)} → ${degraded.p99Ms.toFixed(1)} ms, errors ${degraded.errors + healthy.errors}`,
      );
    }
  }
  await load.close();
  const summary = Object.keys(faults).map((fault) => {
    const rows = rounds.filter((row) => row.fault === fault);
    const middle = (name) => median(rows.map((row) => row[name]));
    return {
      fault,
      throughputRatio: middle('throughputRatio'),
      p50Ratio: middle('p50Ratio'),
      p99Ratio: middle('p99Ratio'),
    };
  });
  if (options.json) process.stdout.write(`${JSON.stringify({ maximum, opsPerSecond, summary, rounds })}\n`);
  for (const s of summary) {
    const within = s.throughputRatio >= 0.9 && s.p99Ratio <= 1.1;
    if (!within) process.exitCode = 1;
    say(
      `backup ${s.fault}: throughput × ${s.throughputRatio.toFixed(3)}, p50 × ${s.p50Ratio.toFixed(2)}, p99 × ${s.p99Ratio.toFixed(2)} (medians of ${options.rounds}) ${within ? 'within 10 %' : 'NOT within 10 %'}`,
    );
  }
} finally {
  await cluster.close();
  rmSync(directory, { recursive: true, force: true });
}
