// What one version of Node makes of some seeds, as JSON on stdout. Run by compare-nodes.mjs.
import { nodeHasher } from '../../packages/node/dist/index.js';
import { runSeed } from '../../sim/dist/index.js';

/** This one also runs with SHA-256 in plain JavaScript: whose checksum it is must make no difference. */
const plainEvery = 5;

const seeds = (process.argv[2] ?? '').split(',').map(Number);
const runs = seeds.map((seed, index) => {
  const { failure, traceHash, stateHashes, stats } = runSeed(seed, {}, nodeHasher);
  const plain = index % plainEvery === 0 ? runSeed(seed, {}) : null;
  return {
    seed,
    traceHash,
    stateHashes,
    stats,
    failure: failure?.kind ?? null,
    plainTraceHash: plain === null ? null : plain.traceHash,
  };
});
process.stdout.write(JSON.stringify({ version: process.version, runs }));
