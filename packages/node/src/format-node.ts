import { mkdir } from 'node:fs/promises';
import type { Result } from '@kimberlite/base';
import { formatLog, type LogError } from '@kimberlite/log';
import { type DurableState, encodeDurableState, initialDurableState, replacedDurableState } from '@kimberlite/vsr';
import type { NodeConfig } from './config.ts';
import { openDataDirectory } from './data-directory.ts';
import { nodeCrc32, nodeHasher } from './platform-checksums.ts';
import { StartError } from './start-error.ts';

/**
 * Prepares a node's data directory, once in its life; creates it where it is missing. Rejects with `StartError` when the
 * directory holds anything already: a node that forgot what it acknowledged must not come back under the same identity.
 */
export function formatNode(config: NodeConfig): Promise<void> {
  return prepare(config, initialDurableState(config.checkpointInterval));
}

/**
 * An empty directory under an identity that was used before. The others have fenced off the machine that had it: their
 * answer is `fenced`.
 */
export function formatReplacement(
  config: NodeConfig,
  fenced: { readonly view: number; readonly incarnation: number; readonly checkpointInterval: number },
): Promise<void> {
  return prepare(config, replacedDurableState(fenced));
}

async function prepare(config: NodeConfig, durable: DurableState): Promise<void> {
  const { dataDir, clusterId, replica } = config;
  await makeDirectory(dataDir);
  const directory = await openDataDirectory(dataDir);
  try {
    const formatted = await new Promise<Result<void, LogError>>((resolve) =>
      formatLog(
        {
          disk: directory.disk,
          hasher: nodeHasher,
          crc32: nodeCrc32,
          cluster: clusterId,
          replica,
          superblock: encodeDurableState(durable),
        },
        resolve,
      ),
    );
    if (!formatted.ok) throw new StartError(`${dataDir} cannot be formatted: ${formatted.error.message}`);
  } finally {
    await directory.close();
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new StartError(
      `the data directory ${path} cannot be created (${code}): make its parent writable for this user, or change dataDir`,
    );
  }
}
