// Where the nodes spend their processor time under load.
//
//   node test/bench/profile.mjs [--clients 1000] [--connections 10] [--seconds 8] [--mode write] [--top 15]
//   node test/bench/profile.mjs --read some.cpuprofile
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { readArguments, shipped } from '../fuzz/processes.mjs';
import { timedRun } from './timed-run.mjs';

const options = readArguments({
  clients: 1000,
  connections: 10,
  seconds: 8,
  valueBytes: 256,
  mode: 'write',
  top: 15,
  read: '',
  keep: '',
});
const say = (line) => process.stdout.write(`${line}\n`);

if (options.read !== '') printTop('profile', options.read);
else await run();

async function run() {
  const directory = mkdtempSync(join(tmpdir(), 'kimberlite-profile-'));
  const profiles = options.keep === '' ? directory : options.keep;
  process.env.PROFILE_DIRECTORY = profiles;
  const bin = fileURLToPath(new URL('profiled-kimberlite.mjs', import.meta.url));
  const cluster = await ProcessCluster.create({ bin, nodes: 3, directory: join(directory, 'cluster') });
  try {
    cluster.startAll();
    const primary = await cluster.primary();
    const bench = (seconds) =>
      timedRun(process.execPath, [
        shipped,
        'bench',
        '--endpoints',
        cluster.endpoints.join(','),
        '--clients',
        String(options.clients),
        '--connections',
        String(options.connections),
        '--seconds',
        String(seconds),
        '--value-bytes',
        String(options.valueBytes),
        '--mode',
        options.mode,
        '--json',
      ]);
    await bench(2);
    const backup = (primary + 1) % 3;
    const pids = { primary: cluster.pid(primary), backup: cluster.pid(backup) };
    for (const pid of Object.values(pids)) process.kill(pid, 'SIGUSR2');
    const { stdout, cpuSeconds } = await bench(options.seconds);
    for (const pid of Object.values(pids)) process.kill(pid, 'SIGUSR2');
    say(`bench ${options.mode}, ${options.clients} calls: ${stdout.trim()}\nclient CPU ${cpuSeconds.toFixed(1)} s`);
    for (const [role, pid] of Object.entries(pids)) {
      const file = join(profiles, `${pid}.cpuprofile`);
      const whole = () => {
        try {
          return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')) !== null ? true : undefined;
        } catch {
          return undefined;
        }
      };
      await waitFor(`the profile of the ${role}`, async () => whole());
      printTop(role, file);
    }
  } finally {
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Functions by their own time, and packages by the sum of theirs. */
function printTop(title, file) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const own = new Map();
  const rooms = new Map();
  let total = 0;
  samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = byId.get(id).callFrame;
    const us = timeDeltas[i] ?? 0;
    total += us;
    const where = url === '' ? '' : ` ${basename(url)}:${lineNumber + 1}`;
    add(own, `${functionName === '' ? '(anonymous)' : functionName}${where}`, us);
    add(rooms, roomOf(url, functionName), us);
  });
  const share = (us) => `${((100 * us) / total).toFixed(1).padStart(5)} %`;
  say(`\n${title}: ${(total / 1e6).toFixed(1)} s sampled`);
  for (const [name, us] of sorted(own).slice(0, options.top)) say(`  ${share(us)}  ${name}`);
  say('  by package:');
  for (const [name, us] of sorted(rooms).slice(0, 14)) say(`  ${share(us)}  ${name}`);
}

function add(map, name, us) {
  map.set(name, (map.get(name) ?? 0) + us);
}

function sorted(map) {
  return [...map].sort((a, b) => b[1] - a[1]);
}

function roomOf(url, functionName) {
  if (url === '') return functionName;
  if (url.startsWith('node:')) return 'node itself';
  const room = /packages\/([a-z]+)\//.exec(url);
  if (room !== null) return `@kimberlite/${room[1]}`;
  const library = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url);
  return library === null ? url : library[1];
}
