// Every kind of damage to every kind of file, of a running and of a stopped node: found, repaired, and clean in the end.
//
//   node test/damage-table/table.mjs [--only rot/segment/running,…] [--seed 1] [--json]
//
// Three real nodes on loopback, a client that goes on writing, and one node's files damaged from outside, a cell of the
// table at a time. Then the node has to find it and mend it by itself, within a bound; it is stopped, and `kimberlite
// verify` must find nothing in its directory. The last row damages different places of all nodes at once. "Unreadable" is
// a library in front of libc that fails the reads of those bytes (needs gcc; left out, and said so, where there is none).
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { readArguments, shipped } from '../fuzz/processes.mjs';
import { Random } from '../fuzz/random.mjs';
import { damage } from './damages.mjs';

const options = readArguments({ seed: 1, rows: 200, only: '', json: false });
const random = new Random(options.seed);
const say = (line) => process.stderr.write(`${line}\n`);
const hows = ['rot', 'torn', 'misdirected', 'unreadable'];
const kinds = ['segment', 'headers', 'superblock', 'checkpoint'];
const whens = ['running', 'stopped'];
const everywhere = 'rot/all/everywhere';
/** A pass over the few megabytes of such a directory takes a few seconds at this pace. */
const scrubSeconds = 3;
const cellMs = 60_000;

const root = mkdtempSync(join(tmpdir(), 'kimberlite-damage-'));
const library = compile();
const rulesOf = (replica) => join(root, `rules-${replica}`);
const setRules = (replica, lines) => writeFileSync(rulesOf(replica), lines.map((line) => `${line}\n`).join(''));
const table = [];
let cluster;
let db;
try {
  await start();
  const writer = writeAllTheTime();
  for (const cell of chosen()) {
    const row = await run(cell).catch((error) => ({ cell, problem: String(error) }));
    table.push(row);
    say(shown(row));
  }
  const { written, errors } = await writer.stop();
  const { hash } = await cluster.converged();
  const lost = await unlike(written);
  const report = { seed: options.seed, table, written: written.size, errors, lost, hash };
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else say(`${written.size} rows written meanwhile, ${errors.length} errors, ${lost.length} lost, state hash ${hash}`);
  for (const error of errors.slice(0, 3)) say(`FAIL ${error}`);
  const failed = table.filter(({ problem }) => problem !== null);
  process.exitCode = failed.length + errors.length + lost.length === 0 ? 0 : 1;
} finally {
  await db?.close();
  await cluster?.close();
  rmSync(root, { recursive: true, force: true });
}

function compile() {
  if (process.platform !== 'linux') return null;
  const file = join(root, 'trouble.so');
  const source = fileURLToPath(new URL('../disk-trouble/preload.c', import.meta.url));
  const { status } = spawnSync('gcc', ['-shared', '-fPIC', '-O1', '-o', file, source, '-ldl']);
  return status === 0 ? file : null;
}

function chosen() {
  const all = hows.flatMap((how) => kinds.flatMap((kind) => whens.map((when) => `${how}/${kind}/${when}`)));
  const wanted = options.only === '' ? [...all, everywhere] : options.only.split(',');
  if (library !== null) return wanted;
  say('unreadable: left out, since no library can be compiled here');
  return wanted.filter((cell) => !cell.startsWith('unreadable'));
}

async function start() {
  const bin = fileURLToPath(new URL('../verify-flips/small-segments.mjs', import.meta.url));
  for (const replica of [0, 1, 2]) setRules(replica, []);
  const environment = (replica) => (library === null ? {} : { LD_PRELOAD: library, TROUBLE_RULES: rulesOf(replica) });
  const directory = join(root, 'cluster');
  mkdirSync(directory);
  const settings = { scrubSeconds, checkpointInterval: 256 };
  cluster = await ProcessCluster.create({ bin, nodes: 3, directory, settings, environment });
  cluster.startAll();
  await cluster.primary(60_000);
  db = await connect({ endpoints: cluster.endpoints, connectTimeoutMs: 30_000 });
  await db.createTenant({ tenantId: 1, name: 'damage' });
  await db.tenant(1).createTable('rows', { columns: { id: 'int', value: 'int', text: 'text' }, primaryKey: ['id'] });
  // Two checkpoints of several parts, and a log that goes over several files behind them.
  for (let op = 0; op < 800; op++) await put(op % options.rows, op);
  await cluster.converged();
}

function put(id, value) {
  const text = `${value}`.padEnd(4000, '.');
  return db.tenant(1).table('rows').upsert({ id, value, text });
}

/** A few writes a second, in rows of their own. */
function writeAllTheTime() {
  const written = new Map();
  const errors = [];
  let running = true;
  const loop = (async () => {
    for (let value = 1; running; value++) {
      const id = 1000 + (value % 50);
      try {
        await put(id, value);
        written.set(id, value);
      } catch (error) {
        errors.push(String(error));
      }
      await sleep(200);
    }
  })();
  return {
    stop: async () => {
      running = false;
      await loop;
      return { written, errors };
    },
  };
}

async function unlike(written) {
  const lost = [];
  for (const [id, value] of written) {
    const row = await db.tenant(1).table('rows').get({ id });
    if (row?.value !== value) lost.push(id);
  }
  return lost;
}

function directoryOf(replica) {
  return join(root, 'cluster', `node-${replica}`);
}

async function counted(replica) {
  const row = await cluster.status(replica);
  return row === undefined ? undefined : { found: row.damageFound, repaired: row.damageRepaired, status: row.status };
}

async function passes(replica) {
  const response = await fetch(`http://127.0.0.1:${cluster.members[replica].admin}/metrics`);
  return Number(/^kimberlite_scrub_passes_total (\d+)/m.exec(await response.text())?.[1] ?? 0);
}

async function run(cell) {
  const [how, kind, when] = cell.split('/');
  if (cell === everywhere) return runEverywhere(cell);
  const victim = ((await cluster.primary()) + 1) % 3;
  const share = 0.1 + 0.8 * (random.below(1000) / 1000);
  const unreadable = (target) =>
    setRules(victim, [`fail read ${target.file} ${target.offset} ${target.offset + target.bytes} 5`]);
  if (when === 'stopped') await cluster.signal(victim, 'SIGTERM');
  const before = when === 'stopped' ? { found: 0, repaired: 0 } : await counted(victim);
  await damage(directoryOf(victim), kind, how, share, unreadable);
  const began = performance.now();
  if (when === 'stopped') cluster.start(victim);
  const times = await mended(victim, before, began, how, kind);
  return { cell, victim, ...times, problem: await verified(victim) };
}

/** Found, then written again; and everything read once more, so that nothing of it is left. */
async function mended(victim, before, began, how, kind) {
  const seconds = () => Math.round((performance.now() - began) / 100) / 10;
  const until = (what, holds) =>
    waitFor(
      `${what} at node ${victim}`,
      async () => {
        const now = await counted(victim);
        return now !== undefined && holds(now) ? now : undefined;
      },
      { timeoutMs: cellMs, everyMs: 50 },
    );
  await until('damage found', ({ found }) => found > before.found);
  const foundS = seconds();
  // A drive gives a sector it cannot read another place when it is written; a prepare is written elsewhere anyway.
  if (how === 'unreadable' && kind !== 'segment') setRules(victim, []);
  await until('damage repaired', ({ found, repaired }) => found > before.found && repaired === found);
  const repairedS = seconds();
  setRules(victim, []);
  const passed = await passes(victim);
  await waitFor('another pass', async () => ((await passes(victim)) >= passed + 2 ? true : undefined), {
    timeoutMs: cellMs,
  });
  const { found, repaired } = await until('everything repaired', (now) => now.repaired === now.found);
  return { foundS, repairedS, found: found - before.found, repaired: repaired - before.repaired };
}

/** Null when nothing is wrong with the directory; the node runs again afterwards. */
async function verified(victim) {
  await cluster.converged();
  await cluster.signal(victim, 'SIGTERM');
  const { stdout, stderr } = spawnSync(process.execPath, [shipped, 'verify', directoryOf(victim), '--json'], {
    encoding: 'utf8',
  });
  cluster.start(victim);
  await cluster.converged();
  try {
    const { ok, problems } = JSON.parse(stdout);
    return ok && problems.length === 0 ? null : JSON.stringify(problems).slice(0, 500);
  } catch {
    return `verify: ${stdout}${stderr}`.slice(0, 500);
  }
}

/** Different places on each node, so that one good copy of everything is somewhere. */
async function runEverywhere(cell) {
  const befores = await Promise.all([0, 1, 2].map((replica) => counted(replica)));
  const began = performance.now();
  for (const replica of [0, 1, 2]) {
    for (const [i, kind] of kinds.entries()) {
      const share = 0.1 + 0.25 * replica + 0.05 * i;
      await damage(directoryOf(replica), kind, 'rot', share, () => {});
    }
  }
  const times = await Promise.all([0, 1, 2].map((replica) => mended(replica, befores[replica], began, 'rot', 'all')));
  const problems = [];
  for (const replica of [0, 1, 2]) problems.push(await verified(replica));
  return {
    cell,
    victim: 'all',
    foundS: Math.max(...times.map(({ foundS }) => foundS)),
    repairedS: Math.max(...times.map(({ repairedS }) => repairedS)),
    found: times.reduce((sum, { found }) => sum + found, 0),
    repaired: times.reduce((sum, { repaired }) => sum + repaired, 0),
    problem: problems.find((problem) => problem !== null) ?? null,
  };
}

function shown(row) {
  const [how, kind, when] = row.cell.split('/');
  const start = `${how.padEnd(12)} ${kind.padEnd(11)} ${when.padEnd(10)}`;
  if (row.foundS === undefined) return `${start} FAIL ${row.problem}`;
  const middle = `found ${row.found} in ${row.foundS} s, repaired ${row.repaired} in ${row.repairedS} s`;
  return `${start} node ${row.victim}  ${middle}  ${row.problem === null ? 'clean' : `FAIL ${row.problem}`}`;
}
