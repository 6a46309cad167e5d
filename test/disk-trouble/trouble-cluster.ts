import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type Database, KimberliteError } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { kimberlite } from '../bad-input/kimberlite.ts';

/** `kimberlite` as shipped, with small files of the log: what takes gigabytes otherwise happens within a few. */
export const smallFiles = fileURLToPath(new URL('../verify-flips/small-segments.mjs', import.meta.url));

export const tenantId = 1;

export interface Trouble {
  readonly cluster: ProcessCluster;
  readonly db: Database;
  /** What was acknowledged, by id. */
  readonly acknowledged: Map<number, number>;
  readonly close: () => Promise<void>;
}

export interface TroubleOptions {
  /** Data directories are `node-N` below it. Left out: a directory that goes with the cluster. */
  readonly directory?: string;
  readonly nodes?: number;
  readonly settings?: Readonly<Record<string, string | number>>;
  readonly environment?: (replica: number) => Readonly<Record<string, string>>;
}

/** Three nodes with a table, and a client. */
export async function startTrouble(options: TroubleOptions = {}): Promise<Trouble> {
  const { nodes = 3, settings = {}, environment } = options;
  const own = options.directory === undefined ? mkdtempSync(join(tmpdir(), 'kimberlite-trouble-')) : null;
  const directory = options.directory ?? own ?? '';
  const more = environment === undefined ? {} : { environment };
  const cluster = await ProcessCluster.create({ bin: smallFiles, nodes, directory, settings, ...more });
  cluster.startAll();
  await cluster.primary(60_000);
  const db = await connect({ endpoints: cluster.endpoints, connectTimeoutMs: 30_000 });
  await db.createTenant({ tenantId, name: 'trouble' });
  await db.tenant(tenantId).createTable('rows', {
    columns: { id: 'int', value: 'int', text: 'text' },
    primaryKey: ['id'],
  });
  const close = async (): Promise<void> => {
    await db.close();
    await cluster.close();
    if (own !== null) rmSync(own, { recursive: true, force: true });
  };
  return { cluster, db, acknowledged: new Map(), close };
}

export const rows = ({ db }: Trouble) => db.tenant(tenantId).table('rows');

/** How a write ended: null when it was acknowledged, else its error. */
export async function write(
  trouble: Trouble,
  id: number,
  value: number,
  options: { readonly bytes?: number; readonly timeoutMs?: number } = {},
): Promise<KimberliteError | null> {
  const { bytes = 10_000, timeoutMs = 30_000 } = options;
  try {
    await rows(trouble).upsert({ id, value, text: 'x'.repeat(bytes) }, { timeoutMs });
    trouble.acknowledged.set(id, value);
    return null;
  } catch (error) {
    if (error instanceof KimberliteError) return error;
    throw error;
  }
}

/** Every acknowledged row, read back. */
export async function missing(trouble: Trouble): Promise<readonly number[]> {
  const found: number[] = [];
  for (const [id, value] of trouble.acknowledged) {
    const row = await rows(trouble).get({ id });
    if (row?.['value'] !== value) found.push(id);
  }
  return found;
}

/** What the node says of its disk. */
export async function statusOf({ cluster }: Trouble, replica: number): Promise<Readonly<Record<string, unknown>>> {
  const row = await cluster.status(replica);
  return { ...row };
}

export const diskRoom = async (trouble: Trouble, replica: number): Promise<unknown> =>
  (await statusOf(trouble, replica))['diskRoom'];

export const until = (what: string, holds: () => Promise<boolean>, timeoutMs = 60_000): Promise<true> =>
  waitFor(what, async () => ((await holds()) ? true : undefined), { timeoutMs });

/** Problems that `kimberlite verify` finds in a directory that no node uses. */
export async function problemsOf(directory: string): Promise<unknown> {
  const { stdout, stderr } = await kimberlite(['verify', directory, '--json']);
  const document: unknown = JSON.parse(stdout === '' ? JSON.stringify(stderr) : stdout);
  return typeof document === 'object' && document !== null && 'problems' in document ? document.problems : document;
}

export const logOf = ({ cluster }: Trouble, replica: number): string =>
  readFileSync(cluster.members[replica]?.logFile ?? '', 'utf8');
