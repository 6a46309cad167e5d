// Every bit of a data directory counts: flipped at random places, each flip has to be found and named by `verify`.
//
//   node test/verify-flips/flips.mjs [--flips 10000] [--seed 1] [--json]
//
// A cluster of real processes fills small segments and is stopped; then single bits of one node's files are turned over,
// `flips` of each kind of file, one at a time. The check is `verifyLog`, which is what `kimberlite verify` runs before it
// replays, over the files in memory; now and then the whole command runs over files on the disk, and has to agree.
import { randomBytes } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '@kimberlite/client';
import { ProcessCluster } from '@kimberlite/drill';
import { verifyLog } from '@kimberlite/log';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { readArguments, shipped } from '../fuzz/processes.mjs';
import { Random } from '../fuzz/random.mjs';
import { MemoryDisk } from './memory-disk.mjs';

const options = readArguments({ flips: 10_000, ops: 2500, commandRuns: 30, seed: 1, json: false });
const say = (line) => process.stderr.write(`${line}\n`);
/** A problem this far from the flip still names it: the record, slot or copy it is in starts there. */
const nearBytes = 65_536;

const root = mkdtempSync(join(tmpdir(), 'kimberlite-flips-'));
const random = new Random(options.seed);
const failures = [];
try {
  const { directory, status } = await fill();
  const replayed = check(directory, ['--op', String(status.stateHashOp)]);
  if (replayed.code !== 0) failures.push(`verify finds problems in an undamaged directory: ${replayed.stdout}`);
  else if (replayed.document.stateHash !== status.stateHash || replayed.document.stateHashOp !== status.stateHashOp)
    failures.push(
      `verify gives state ${replayed.document.stateHash} at op ${replayed.document.stateHashOp}, the node gave ${status.stateHash} at ${status.stateHashOp}`,
    );
  const table = await flipAll(directory, replayed.document?.committedAtLeast ?? 0);
  const commands = runCommands(directory);
  const report = {
    seed: options.seed,
    stateHash: status.stateHash,
    stateHashOp: status.stateHashOp,
    files: readdirSync(directory),
    table,
    commands,
    failures,
  };
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else print(report);
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exitCode = failures.length === 0 ? 0 : 1;

/** A directory that a node has written and left, and what the node said of its state. */
async function fill() {
  const bin = fileURLToPath(new URL('small-segments.mjs', import.meta.url));
  const cluster = await ProcessCluster.create({ bin, nodes: 3, directory: join(root, 'cluster') });
  try {
    cluster.startAll();
    await cluster.primary(60_000);
    const db = await connect({ endpoints: cluster.endpoints, connectTimeoutMs: 30_000 });
    await db.createTenant({ tenantId: 1, name: 'flips' });
    await db.tenant(1).createTable('rows', { columns: { id: 'int', value: 'bytes' }, primaryKey: ['id'] });
    const rows = db.tenant(1).table('rows');
    let next = 0;
    const lane = async () => {
      while (next < options.ops) {
        const id = next++;
        // Sizes from nothing to several blocks, so that records end everywhere.
        await rows.upsert({
          id: id % 200,
          value: new Uint8Array(randomBytes(random.below(random.chance(10) ? 20_000 : 600))),
        });
      }
    };
    await Promise.all([lane(), lane()]);
    await db.close();
    await cluster.converged();
    const status = await cluster.status(1);
    for (const { replica } of cluster.members) await cluster.signal(replica, 'SIGTERM');
    return { directory: join(root, 'cluster', 'node-1'), status };
  } finally {
    await cluster.close();
  }
}

/** `kimberlite verify`, as an operator runs it. */
function check(directory, more = []) {
  const {
    status: code,
    stdout,
    stderr,
  } = spawnSync(process.execPath, [shipped, 'verify', directory, '--json', ...more], { encoding: 'utf8' });
  let document;
  try {
    document = JSON.parse(stdout);
  } catch {
    failures.push(`verify printed no JSON: ${stdout}${stderr}`);
  }
  return { code, stdout, document };
}

/** What peers said of themselves is no part of the log: a damaged file is forgotten (its unit test), and nothing is lost. */
function isOfTheLog(file) {
  return file !== 'peers.json';
}

function kindOf(file) {
  return file === 'superblock' ? 'superblock' : file.split('-')[0];
}

function verified(disk, chainTo) {
  return new Promise((resolve) =>
    verifyLog({ disk, hasher: nodeHasher, crc32: nodeCrc32, running: false, chainTo }, resolve),
  );
}

function nearest(problems, file, offset) {
  let best = null;
  for (const problem of problems) {
    if (problem.file !== file) continue;
    const distance = Math.abs(problem.offset - offset);
    if (best === null || distance < best) best = distance;
  }
  return best;
}

async function flipAll(directory, chainTo) {
  const disk = new MemoryDisk(directory);
  const clean = await verified(disk, chainTo);
  if (!clean.ok || clean.value.problems.length > 0) failures.push(`undamaged, and yet: ${JSON.stringify(clean)}`);
  const kinds = new Map();
  for (const [file, bytes] of [...disk.files].filter(([file]) => isOfTheLog(file)))
    kinds.set(kindOf(file), [...(kinds.get(kindOf(file)) ?? []), { file, bytes }]);
  const table = [];
  for (const [kind, files] of kinds) {
    const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const row = { kind, files: files.length, bytes: total, flips: 0, found: 0, inZeros: 0, farthest: 0, kinds: {} };
    for (; row.flips < options.flips; row.flips++) {
      let at = random.below(total);
      const { file, bytes } = files.find((one) => {
        if (at < one.bytes.length) return true;
        at -= one.bytes.length;
        return false;
      });
      const wasZero = bytes[at] === 0;
      const bit = random.below(8);
      disk.flip(file, at, bit);
      const result = await verified(disk, chainTo);
      disk.flip(file, at, bit);
      // What cannot be opened at all is named by its error.
      const problems = result.ok
        ? result.value.problems
        : [{ file: result.error.file, offset: at, kind: 'unreadable' }];
      const distance = nearest(problems, file, at);
      if (distance === null || distance > nearBytes) {
        failures.push(
          `bit ${bit} of ${file} at ${at} was flipped, and verify says ${JSON.stringify(problems)}; unfinished: ${JSON.stringify(result.value?.unfinished)}`,
        );
        continue;
      }
      row.found += 1;
      if (wasZero) row.inZeros += 1;
      row.farthest = Math.max(row.farthest, distance);
      for (const named of new Set(problems.map((problem) => problem.kind)))
        row.kinds[named] = (row.kinds[named] ?? 0) + 1;
      if (row.flips % 1000 === 999) say(`${kind}: ${row.flips + 1} flips`);
    }
    table.push(row);
  }
  return table;
}

/** The command itself, over a copy of the directory on the disk. */
function runCommands(directory) {
  const copy = join(root, 'copy');
  cpSync(directory, copy, { recursive: true });
  const files = readdirSync(copy).filter(isOfTheLog);
  let found = 0;
  for (let run = 0; run < options.commandRuns; run++) {
    const file = files[run % files.length];
    const path = join(copy, file);
    const handle = openSync(path, 'r+');
    const sizeBytes = readAll(handle);
    const at = random.below(sizeBytes);
    const byte = new Uint8Array(1);
    readSync(handle, byte, 0, 1, at);
    writeSync(handle, Uint8Array.of(byte[0] ^ (1 << random.below(8))), 0, 1, at);
    const { code, document } = check(copy);
    writeSync(handle, byte, 0, 1, at);
    closeSync(handle);
    const distance = nearest(document?.problems ?? [], file, at);
    if (code === 1 && distance !== null && distance <= nearBytes) found += 1;
    else
      failures.push(
        `kimberlite verify ended with ${code} after a flip in ${file} at ${at}: ${JSON.stringify(document)}`,
      );
  }
  return { runs: options.commandRuns, found };
}

function readAll(handle) {
  const piece = new Uint8Array(1 << 20);
  let sizeBytes = 0;
  for (
    let got = readSync(handle, piece, 0, piece.length, 0);
    got > 0;
    got = readSync(handle, piece, 0, piece.length, sizeBytes)
  )
    sizeBytes += got;
  return sizeBytes;
}

function print(r) {
  say(`\nverify replays to state ${r.stateHash} at op ${r.stateHashOp}, as the running node had it`);
  say('kind        files     bytes   flips   found  of these in zeros  not found  farthest  named as');
  for (const row of r.table)
    say(
      `${row.kind.padEnd(10)} ${String(row.files).padStart(6)} ${String(row.bytes).padStart(9)} ${String(row.flips).padStart(7)} ${String(row.found).padStart(7)} ${String(row.inZeros).padStart(18)} ${String(row.flips - row.found).padStart(10)} ${String(row.farthest).padStart(9)}  ${Object.entries(
        row.kinds,
      )
        .map(([k, n]) => `${k} ${n}`)
        .join(', ')}`,
    );
  say(`kimberlite verify over files on disk: ${r.commands.found} of ${r.commands.runs} flips found (seed ${r.seed})`);
  for (const failure of r.failures.slice(0, 10)) say(`FAIL ${failure.slice(0, 1000)}`);
  say(r.failures.length === 0 ? 'pass' : `FAIL: ${r.failures.length}`);
}
