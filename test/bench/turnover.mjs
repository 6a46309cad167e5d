// A day's worth of log turned over in minutes: disk use and memory have to stay flat.
//
//   node test/bench/turnover.mjs [--writes 8640000] [--value-bytes 200] [--rows 20000] [--plot turnover.svg] [--json]
//
// Three nodes; 400 writers write the same rows again and again, so that the log grows and the state does not. By default as many
// writes as a hundred a second make in a day. Every second the size of each node's directory and its resident memory are
// noted; the plot shows them over the writes. Flat means: in the second half no more than in the first, by a tenth.
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@kimberlite/client';
import { ProcessCluster } from '@kimberlite/drill';
import { memoryMiB, readArguments, shipped } from '../fuzz/processes.mjs';

const options = readArguments({
  writes: 8_640_000,
  valueBytes: 200,
  rows: 20_000,
  writers: 400,
  plot: '',
  json: false,
});
/** Beyond the first half by more than this is growth. */
const growthMax = 1.1;
const root = mkdtempSync(join(tmpdir(), 'kimberlite-turnover-'));
const cluster = await ProcessCluster.create({
  bin: shipped,
  nodes: 3,
  directory: root,
  settings: { logLevel: 'warn' },
});
const samples = [];
let done = 0;
let report;

try {
  cluster.startAll();
  await cluster.converged();
  const db = await connect({ endpoints: cluster.endpoints });
  await db.createTenant({ tenantId: 1, name: 'one' });
  await db.tenant(1).createTable('t', { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] });
  const table = db.tenant(1).table('t');
  const began = performance.now();
  const sampling = setInterval(sample, 1000);
  await Promise.all(Array.from({ length: options.writers }, () => write(table)));
  clearInterval(sampling);
  const seconds = (performance.now() - began) / 1000;
  await db.close();
  const { hash } = await cluster.converged(120_000);
  report = {
    writes: done,
    seconds: Math.round(seconds),
    writesPerSecond: Math.round(done / seconds),
    stateHash: hash,
    ...judge(),
  };
} finally {
  await cluster.close();
  rmSync(root, { recursive: true, force: true });
}
if (options.plot !== '') writeFileSync(options.plot, plot());
if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
else {
  console.table(report.nodes);
  process.stdout.write(`${report.writes} writes in ${report.seconds} s; ${report.flat ? 'flat' : 'NOT FLAT'}\n`);
}
process.exit(report.flat ? 0 : 1);

async function write(table) {
  const text = 'v'.repeat(options.valueBytes);
  while (done < options.writes) {
    const id = done++ % options.rows;
    await table.upsert({ id, text: `${text}${done}` }, { timeoutMs: 120_000 });
  }
}

function sample() {
  const nodes = [0, 1, 2].map((replica) => {
    const directory = join(root, `node-${replica}`);
    const diskMiB = sizeOf(directory) / 1_048_576;
    return { diskMiB, rssMiB: memoryMiB(cluster.pid(replica)).now };
  });
  samples.push({ writes: done, nodes });
  if (samples.length % 10 === 0) {
    const shown = nodes.map(({ diskMiB, rssMiB }) => `${Math.round(diskMiB)}/${Math.round(rssMiB)}`).join(' ');
    process.stderr.write(`${done} of ${options.writes} writes; disk/memory MiB ${shown}\n`);
  }
}

function sizeOf(directory) {
  let bytes = 0;
  for (const file of readdirSync(directory)) {
    try {
      bytes += statSync(join(directory, file)).size;
    } catch {
      // It was let go of meanwhile.
    }
  }
  return bytes;
}

/** Of each node: the most in each half of the samples behind the first tenth, in which the log fills up. */
function judge() {
  const settled = samples.slice(Math.ceil(samples.length / 10));
  const half = settled.length >> 1;
  const most = (part, replica, field) => Math.round(Math.max(...part.map(({ nodes }) => nodes[replica][field])));
  const nodes = [0, 1, 2].map((replica) => ({
    node: replica,
    diskFirstMiB: most(settled.slice(0, half), replica, 'diskMiB'),
    diskSecondMiB: most(settled.slice(half), replica, 'diskMiB'),
    rssFirstMiB: most(settled.slice(0, half), replica, 'rssMiB'),
    rssSecondMiB: most(settled.slice(half), replica, 'rssMiB'),
  }));
  const flat = nodes.every(
    (n) => n.diskSecondMiB <= n.diskFirstMiB * growthMax && n.rssSecondMiB <= n.rssFirstMiB * growthMax,
  );
  return { nodes, flat };
}

/** Disk (solid) and memory (dashed) of the three nodes over the writes. */
function plot() {
  const [width, height, margin] = [900, 420, 60];
  const top = Math.max(...samples.flatMap(({ nodes }) => nodes.flatMap((n) => [n.diskMiB, n.rssMiB]))) * 1.1;
  const x = (writes) => margin + (writes / options.writes) * (width - 2 * margin);
  const y = (mebibytes) => height - margin - (mebibytes / top) * (height - 2 * margin);
  const colors = ['#1b6ca8', '#c2571a', '#3a7d44'];
  const line = (replica, field, dash) => {
    const points = samples.map(({ writes, nodes }) => `${x(writes).toFixed(1)},${y(nodes[replica][field]).toFixed(1)}`);
    return `<polyline fill="none" stroke="${colors[replica]}" stroke-width="1.5" stroke-dasharray="${dash}" points="${points.join(' ')}"/>`;
  };
  const lines = [0, 1, 2].flatMap((replica) => [line(replica, 'diskMiB', ''), line(replica, 'rssMiB', '4 3')]);
  const ticks = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    `<text x="${x(share * options.writes)}" y="${height - margin + 20}" text-anchor="middle">${Math.round(share * options.writes)}</text>`,
    `<text x="${margin - 8}" y="${y(share * top)}" text-anchor="end">${Math.round(share * top)}</text>`,
  ]);
  const title = 'MiB a node over writes: on disk (solid), resident (dashed)';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/><text x="${margin}" y="30" font-size="15">${title}</text>${lines.join('')}${ticks.join('')}</svg>\n`;
}
