import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  bin,
  cli,
  type DevCluster,
  freeBasePort,
  repository,
  Spoken,
  startDev,
  temporaryDirectory,
  until,
} from './support/dev-cluster.ts';

// Real processes, several a test: a busy machine takes its time.
vi.setConfig({ testTimeout: 180_000 });

// The session of the product's description, on a cluster of real processes, as somebody would type it.

const directory = temporaryDirectory();
let dev: DevCluster;

beforeAll(async () => {
  dev = await startDev(join(directory.path, 'data'), await freeBasePort());
}, 90_000);
afterAll(async () => {
  await dev?.stop();
  directory.remove();
});

const on = (...args: string[]) => cli([...args, '--endpoints', dev.endpoints, '--json']);
const exec = async (commands: unknown) => {
  const { code, out } = await on('exec', JSON.stringify(commands));
  return { code, rows: JSON.parse(out) as Record<string, unknown>[] };
};
const query = async (what: object) =>
  JSON.parse((await on('query', JSON.stringify(what))).out) as Record<string, unknown>;

interface Status {
  readonly cluster: string;
  readonly view: number;
  readonly primary: number | null;
  readonly canLose: number;
  readonly replicas: readonly Record<string, unknown>[];
}
const status = async (): Promise<Status> => JSON.parse((await on('status')).out) as Status;

describe('through the CLI', () => {
  it('creates a tenant and a table, writes, and reads what it wrote', async () => {
    const table = { columns: { id: 'int', name: 'text', born: 'timestamp?' }, primaryKey: ['id'] };
    const made = await exec([
      { type: 'CreateTenant', tenantId: 1, name: 'clinic' },
      { type: 'CreateTable', tenantId: 1, table: 'patients', ...table },
      { type: 'Insert', tenantId: 1, table: 'patients', row: { id: 1, name: 'Ada' }, idempotencyId: 'req-1' },
    ]);
    expect(made.code).toBe(0);
    expect(made.rows).toHaveLength(3);
    for (const row of made.rows) {
      expect(row).toMatchObject({ ok: true, isReplay: false });
      expect(Object.keys(row)).toEqual(expect.arrayContaining(['position', 'op', 'timestamp']));
    }
    const again = await exec({
      type: 'Insert',
      tenantId: 1,
      table: 'patients',
      row: { id: 1, name: 'Ada' },
      idempotencyId: 'req-1',
    });
    expect(again.rows).toEqual([{ ...made.rows[2], isReplay: true }]);
    const changed = await exec({
      type: 'Update',
      tenantId: 1,
      table: 'patients',
      key: { id: 1 },
      set: { name: 'Ada L.' },
    });
    expect(changed.code).toBe(0);
    expect(
      await query({ tenantId: 1, table: 'patients', where: { name: { gte: 'A' } }, orderBy: ['name'], limit: 100 }),
    ).toMatchObject({
      rows: [{ id: 1, name: 'Ada L.', born: null }],
      position: changed.rows[0]?.['position'],
    });
  });

  it('goes on after a rejection, and says so by the exit code', async () => {
    const { code, rows } = await exec([
      { type: 'Insert', tenantId: 1, table: 'patients', row: { id: 1, name: 'twice' } },
      { type: 'Insert', tenantId: 1, table: 'patients', row: { id: 2, name: 'Grace' } },
      { type: 'Insert', tenantId: 1, table: 'nowhere', row: { id: 2 } },
      { type: 'Nonsense' },
    ]);
    expect(code).toBe(1);
    expect(rows).toMatchObject([
      { ok: false, error: { code: 'DuplicateKey', outcome: 'not-applied' } },
      { ok: true },
      { ok: false, error: { code: 'TableNotFound' } },
      { ok: false, error: { code: 'InvalidCommand', outcome: 'not-applied' } },
    ]);
    expect(rows[0]).toHaveProperty('position');
  });

  it('carries large ints as decimal strings, bytes as base64 and timestamps as microseconds', async () => {
    const row = { id: '9223372036854775807', raw: 'AAEC/w==', at: '2026-01-02T03:04:05.000006Z' };
    const { code } = await exec([
      {
        type: 'CreateTable',
        tenantId: 1,
        table: 'values',
        columns: { id: 'int', raw: 'bytes', at: 'timestamp' },
        primaryKey: ['id'],
      },
      { type: 'Insert', tenantId: 1, table: 'values', row },
    ]);
    expect(code).toBe(0);
    const { rows } = await query({ tenantId: 1, table: 'values' });
    expect(rows).toEqual([{ ...row, at: Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 6 }]);
  });

  it('pages through more rows than the limit', async () => {
    const first = await query({ tenantId: 1, table: 'patients', limit: 1 });
    expect(first['rows']).toHaveLength(1);
    const second = await query({ tenantId: 1, table: 'patients', limit: 1, cursor: first['cursor'] });
    expect(second['rows']).toMatchObject([{ id: 2 }]);
  });

  it('lists and describes tables', async () => {
    const tables = JSON.parse((await on('tables')).out) as { rows: { tenantId: number; table: string }[] };
    expect(tables.rows.map(({ tenantId, table }) => [tenantId, table])).toContainEqual([1, 'patients']);
    const description = await cli(['describe', 'patients', '--tenant', '1', '--endpoints', dev.endpoints]);
    expect(description.code).toBe(0);
    expect(description.out).toMatch(/primary key: id/);
    expect(description.out).toMatch(/born +timestamp +yes/);
    const nowhere = await on('describe', 'nowhere');
    expect(nowhere.code).toBe(1);
    expect(JSON.parse(nowhere.out)).toMatchObject({ ok: false, error: { code: 'TableNotFound' } });
  });

  it('shows a row a node with equal state hashes at equal ops', async () => {
    let seen = await status();
    await until('all replicas have applied the same op', async () => {
      seen = await status();
      return new Set(seen.replicas.map((row) => row['stateHashOp'])).size === 1;
    });
    expect(seen).toMatchObject({ canLose: 1 });
    expect(seen.cluster).toMatch(/^[0-9a-f]{32}$/);
    expect(seen.replicas).toHaveLength(3);
    expect(new Set(seen.replicas.map((row) => row['stateHash'])).size).toBe(1);
    expect(seen.replicas.map((row) => row['replica'])).toEqual([0, 1, 2]);
    expect(seen.replicas.filter((row) => row['role'] === 'primary').map((row) => row['replica'])).toEqual([
      seen.primary,
    ]);
    for (const row of seen.replicas) {
      expect(row).toMatchObject({ reachable: true, status: 'normal', checkpoint: 0 });
      expect(row['endpoint']).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
      expect(row['adminUrl']).toMatch(/^http:\/\/127\.0\.0\.1:\d+/);
    }
  });

  it('verifies the directory of a running node: the replay gives the state hash of all', async () => {
    const { replicas } = await status();
    for (const { replica, stateHash, stateHashOp } of replicas) {
      const { code, out } = await cli(['verify', join(dev.directory, `node-${replica}`), '--json']);
      const verdict = { ok: true, running: true, stateHash, stateHashOp, commit: stateHashOp, problems: [] };
      expect(JSON.parse(out)).toMatchObject(verdict);
      expect(code).toBe(0);
    }
  });

  it('looks into a directory beside the running node', async () => {
    const node = join(dev.directory, 'node-0');
    const superblock = JSON.parse((await cli(['inspect', 'superblock', node, '--json'])).out) as object;
    expect(superblock).toMatchObject({ cluster: (await status()).cluster, replica: 0, checkpoint: 0 });
    const wal = JSON.parse((await cli(['inspect', 'wal', node, '--json'])).out) as {
      rows: { op: number; state: string }[];
    };
    expect(wal.rows.map(({ op }) => op)).toEqual(wal.rows.map((_, i) => i + 1));
    expect(wal.rows.every(({ state }) => state === 'intact')).toBe(true);
    const op = JSON.parse((await cli(['inspect', 'op', '2', node, '--json'])).out) as object;
    expect(op).toMatchObject({
      intact: true,
      requests: [{ commands: [{ type: 'CreateTenant', tenantId: 1 }, {}, {}] }],
    });
    expect((await cli(['inspect', 'checkpoint', node])).out).toMatch(/none/);
    expect((await cli(['inspect', 'op', '999999', node])).code).toBe(1);
  });

  it('takes statements at the prompt', async () => {
    const lines = ['use 1', 'insert patients {"id": 7, "name": "Eva"}', 'get patients {"id": 7}', 'what?', ''];
    const { code, out, err } = await cli(['repl', '--endpoints', dev.endpoints], {
      stdin: lines.join('\n'),
      env: { ...process.env, XDG_STATE_HOME: directory.path },
    });
    expect(out).toMatch(/7 +Eva/);
    expect(err).toContain('help shows what is');
    expect(code).toBe(1);
  });

  it('measures', async () => {
    const { code, out } = await on(
      'bench',
      '--seconds',
      '1',
      '--clients',
      '8',
      '--mode',
      'mixed',
      '--value-bytes',
      '64',
    );
    expect(code).toBe(0);
    const document = JSON.parse(out) as Record<string, number>;
    expect(document).toMatchObject({ mode: 'mixed', clients: 8, connections: 1, errors: 0 });
    expect(document['acknowledged']).toBeGreaterThan(8);
    expect(document['p50Ms']).toBeGreaterThan(0);
    expect(document['maxMs']).toBeGreaterThanOrEqual(Number(document['p99Ms']));
    const tenants = await query({ tenantId: 0, table: '$tenants' });
    expect(tenants['rows']).toMatchObject([{ tenantId: 1 }]);
  });
});

it('through the SDK, in ten lines of plain JavaScript', async () => {
  // In the repository, as a user of the package would have it in node_modules.
  const script = join(repository, 'node_modules', `.kimberlite-session-${process.pid}.mjs`);
  const endpoints = JSON.stringify(dev.endpoints.split(','));
  writeFileSync(
    script,
    `import { connect } from '@kimberlite/client';
const db = await connect({ endpoints: ${endpoints} });
try {
  await db.createTenant({ tenantId: 2, name: 'school' });
  const school = db.tenant(2);
  await school.createTable('pupils', { columns: { id: 'int', name: 'text', born: 'timestamp?' }, primaryKey: ['id'] });
  const pupils = school.table('pupils');
  const { position } = await pupils.insert({ id: 1, name: 'Ada' }, { idempotencyKey: 'req-1' });
  await pupils.update({ id: 1 }, { name: 'Ada L.' }, { ifVersion: position });
  console.log(JSON.stringify({ row: await pupils.get({ id: 1 }), ...(await pupils.query({ where: { name: { gte: 'A' } } })) }));
} finally {
  await db.close();
}
`,
  );
  try {
    const program = new Spoken(process.execPath, [script]);
    const { code } = await program.ended;
    expect(program.err).toBe('');
    expect(code).toBe(0);
    const answer = JSON.parse(program.out) as { row: object; rows: object[] };
    expect(answer.row).toMatchObject({ id: 1, name: 'Ada L.' });
    expect(answer.rows).toEqual([answer.row]);
  } finally {
    rmSync(script, { force: true });
  }
});

it('a node that is killed comes back by itself, with the same state', async () => {
  const before = await status();
  const victim = before.replicas.find((row) => row['role'] === 'backup');
  process.kill(Number(victim?.['pid']), 'SIGKILL');
  await exec({ type: 'Insert', tenantId: 1, table: 'patients', row: { id: 50, name: 'while it was down' } });
  let after = await status();
  await until('it has caught up', async () => {
    after = await status();
    const rows = after.replicas;
    return rows.every((row) => row['status'] === 'normal') && new Set(rows.map((row) => row['stateHashOp'])).size === 1;
  });
  expect(new Set(after.replicas.map((row) => row['stateHash'])).size).toBe(1);
  expect(after.replicas[Number(victim?.['replica'])]?.['pid']).not.toBe(victim?.['pid']);
  expect(dev.process.err).toContain('starting it again');
});

it('says what is wrong with a second cluster in the same place', async () => {
  const same = await cli(['dev', '--data-dir', dev.directory, '--base-port', String(await freeBasePort())]);
  expect(same.code).toBe(1);
  expect(same.err).toMatch(/runs in .* already/);
  const elsewhere = join(directory.path, 'other');
  const busy = await cli(['dev', '--data-dir', elsewhere, '--base-port', String(dev.basePort)]);
  expect(busy.code).toBe(1);
  expect(busy.err).toContain(`Port ${dev.basePort} `);
  expect(busy.err).toContain('--base-port');
  const twice = new Spoken(process.execPath, [bin, 'start', '--config', join(dev.directory, 'node-0.json')]);
  expect((await twice.ended).code).toBe(1);
  expect(twice.err).toMatch(/in use/);
});
