// `kimberlite` as it is shipped, except that `format` makes small files: a few megabytes of log then go over several
// segments and headers files, and a directory can be checked thousands of times. Sizes are kept in the superblock, so
// `start` and `verify` are the shipped ones, and run on such a directory as on any other.
import { mkdirSync } from 'node:fs';
import { formatLog } from '@kimberlite/log';
import { loadConfig, nodeCrc32, nodeHasher } from '@kimberlite/node';
import { createFileDisk } from '../../packages/node/dist/file-disk.js';
import { encodeDurableState, initialDurableState } from '@kimberlite/vsr';
import { shipped } from '../fuzz/processes.mjs';

/** The smallest segment that holds the largest prepare, and 64 kB of header records. */
const geometry = { segmentBytes: 1_183_744, headerSlots: 256 };

const [, , command, , file] = process.argv;
if (command === 'format') format(file);
else await import(shipped);

function format(path) {
  const loaded = loadConfig({ file: path });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const { dataDir, clusterId, replica, checkpointInterval } = loaded.value.config;
  mkdirSync(dataDir, { recursive: true });
  const disk = createFileDisk({ directory: dataDir });
  const identity = { hasher: nodeHasher, crc32: nodeCrc32, cluster: clusterId, replica };
  const superblock = encodeDurableState(initialDurableState(checkpointInterval ?? undefined));
  formatLog({ disk, ...identity, superblock, geometry }, (result) => {
    if (!result.ok) {
      process.stderr.write(`${result.error.message}\n`);
      process.exitCode = 1;
    }
    disk.close(() => {});
  });
}
