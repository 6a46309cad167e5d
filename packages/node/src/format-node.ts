import { mkdir } from 'node:fs/promises';
import {
  assert,
  checkpointIntervalOpsDefault,
  type CheckpointRef,
  FixedReader,
  nameContent,
  op,
  type Result,
} from '@kimberlite/base';
import { type Disk, formatLog, type LogError, openLog } from '@kimberlite/log';
import {
  type DurableState,
  encodeDurableState,
  type Foundation,
  initialDurableState,
  joiningDurableState,
  type Membership,
  readMembership,
  replacedDurableState,
  restoredDurableState,
} from '@kimberlite/vsr';
import type { NodeConfig } from './config.ts';
import { openDataDirectory } from './data-directory.ts';
import { nodeCrc32, nodeHasher } from './platform-checksums.ts';
import { StartError } from './start-error.ts';

/**
 * Prepares a node's data directory, once in its life; creates it where it is missing. Rejects with `StartError` when the
 * directory holds anything already: a node that forgot what it acknowledged must not come back under the same identity.
 */
export function formatNode(config: NodeConfig): Promise<void> {
  return prepare(config, initialDurableState(config.checkpointInterval ?? checkpointIntervalOpsDefault));
}

/**
 * An empty directory under an identity that was used before. The others have fenced off the machine that had it: their
 * answer is `fenced`.
 */
export function formatReplacement(
  config: NodeConfig,
  fenced: {
    readonly view: number;
    readonly incarnation: number;
    readonly checkpointInterval: number;
    /** As the primary encoded it, hex; null: the founding group. */
    readonly membership: string | null;
  },
): Promise<void> {
  const membership = fenced.membership === null ? null : decodeMembership(fenced.membership);
  return prepare(config, replacedDurableState({ ...fenced, membership, replica: config.replica }));
}

/** An empty directory of a replica that was added to the group. The primary's answer is `added`. */
export function formatJoining(
  config: NodeConfig,
  added: { readonly checkpointInterval: number; readonly membership: string },
): Promise<void> {
  const { checkpointInterval } = added;
  const membership = decodeMembership(added.membership);
  return prepare(config, joiningDurableState({ replica: config.replica, checkpointInterval, membership }));
}

function decodeMembership(hex: string): Membership {
  const membership = readMembership(new FixedReader(Buffer.from(hex, 'hex')));
  if (membership.ok) return membership.value;
  throw new StartError(
    `the answer of the primary cannot be read: ${membership.error}; run the same release everywhere`,
  );
}

/**
 * A directory whose node begins with that checkpoint instead of nothing. The superblock names the checkpoint before it is
 * there: what an interrupted restore leaves does not start as an empty cluster.
 */
export async function formatRestored(config: NodeConfig, { header, content }: Foundation): Promise<void> {
  const ref = nameContent(header, content(), nodeHasher);
  const interval = config.checkpointInterval ?? checkpointIntervalOpsDefault;
  await prepare(config, restoredDurableState(ref, interval), (disk) => storeFoundation(config, disk, ref, content));
}

function storeFoundation(
  { clusterId, replica }: NodeConfig,
  disk: Disk,
  ref: CheckpointRef,
  content: Foundation['content'],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (message: string): void => reject(new StartError(`the backup cannot be restored: ${message}`));
    const identity = { hasher: nodeHasher, crc32: nodeCrc32, cluster: clusterId, replica };
    openLog({ disk, ...identity, onFatal: (error) => fail(error.message) }, (opened) => {
      if (!opened.ok) return fail(opened.error.message);
      const { log } = opened.value;
      log.writeCheckpoint(ref.header, content()[Symbol.iterator](), (written) => {
        if (written === null) return fail('there is no space for it');
        assert(written.checksum === ref.checksum, 'a state gives the same bytes twice');
        log.trim(op(ref.header.op + 1), [ref]);
        log.close(resolve);
      });
    });
  });
}

async function prepare(
  config: NodeConfig,
  durable: DurableState,
  fill: (disk: Disk) => Promise<void> = async () => {},
): Promise<void> {
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
    await fill(directory.disk);
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
