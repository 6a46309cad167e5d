import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bin, freePorts, kimberlite, scratch } from './kimberlite.ts';

// What an operator can get wrong before a node runs. Each mistake is refused, in words that name what to change, and
// nothing that was there is touched.

const { path: root, remove } = scratch();
const clusterId = 'a'.repeat(32);
let ports: number[] = [];

interface Keys {
  readonly [key: string]: unknown;
}

function keys(changes: Keys = {}): Keys {
  const [client, peer, admin, second, third] = ports;
  return {
    clusterId,
    replica: 0,
    dataDir: join(root, 'node-0'),
    client: `127.0.0.1:${client}`,
    peer: `127.0.0.1:${peer}`,
    admin: `127.0.0.1:${admin}`,
    replicas: [`127.0.0.1:${peer}`, `127.0.0.1:${second}`, `127.0.0.1:${third}`],
    ...changes,
  };
}

let files = 0;
function configFile(changes: Keys = {}): string {
  const file = join(root, `config-${files++}.json`);
  writeFileSync(file, JSON.stringify(keys(changes)));
  return file;
}

/** Everything in a directory, to see afterwards that it is untouched. */
const contents = (directory: string): Record<string, string> =>
  Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name)).toString('hex')]));

beforeAll(async () => {
  ports = await freePorts(5);
  const formatted = await kimberlite(['format', '--config', configFile()]);
  expect(formatted).toMatchObject({ code: 0 });
});
afterAll(remove);

describe('configuration', () => {
  const own = () => `127.0.0.1:${ports[1]}`;
  const cases: readonly (readonly [string, () => Keys, RegExp])[] = [
    [
      'two replicas at one address',
      () => ({ replicas: [own(), own(), '127.0.0.1:9'] }),
      /replicas\[1\].*which replica 0 has already.*\n?.*peer address of its own/s,
    ],
    ['a replica number that is not in the list', () => ({ replica: 3 }), /replica.*is 3.*0 to 2/s],
    ['a peer address that is not its own entry', () => ({ replica: 1 }), /is this really node 1\?/],
    [
      'one port for two purposes',
      () => ({ admin: `127.0.0.1:${ports[0]}` }),
      /`client` uses already.*three different ports/s,
    ],
    ['a mistyped key', () => ({ datadir: 'x' }), /Did you mean "dataDir"/],
    ['a cluster id that is none', () => ({ clusterId: 'my cluster' }), /clusterId.*32 hex digits/s],
    ['a replica number as text', () => ({ replica: 'zero' }), /replica/],
    ['no data directory', () => ({ dataDir: undefined }), /dataDir.*--data-dir.*KIMBERLITE_DATA_DIR/s],
    ['an address without a port', () => ({ client: '127.0.0.1' }), /client.*host:port/s],
    ['a port beyond 65535', () => ({ client: '127.0.0.1:70000' }), /client/],
    [
      'seven replicas',
      () => ({ replicas: Array.from({ length: 7 }, (_, i) => (i === 0 ? own() : `127.0.0.1:${i}`)) }),
      /at most 6/,
    ],
  ];
  test.each(cases)('%s', async (_name, changes, text) => {
    const started = await kimberlite(['start', '--config', configFile(changes())]);
    expect(started.code).not.toBe(0);
    expect(started.stderr).toMatch(text);
  });

  test('config check names all of several mistakes at once', async () => {
    const file = configFile({ clusterId: 'my cluster', datadir: 'x', client: 'nowhere' });
    const { code, stdout, stderr } = await kimberlite(['config', 'check', file]);
    expect(code).not.toBe(0);
    for (const text of [/clusterId/, /Did you mean "dataDir"/, /client/]) expect(stdout + stderr).toMatch(text);
  });

  test('a file that is missing, and one that is no YAML', async () => {
    const missing = await kimberlite(['start', '--config', join(root, 'nowhere.yaml')]);
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toMatch(/nowhere\.yaml/);
    const file = join(root, 'broken.yaml');
    writeFileSync(file, 'replicas: [a, b\n  : c');
    const broken = await kimberlite(['start', '--config', file]);
    expect(broken.code).not.toBe(0);
    expect(broken.stderr).toMatch(/broken\.yaml/);
  });
});

describe('data directory', () => {
  test('missing', async () => {
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ dataDir: join(root, 'nothing') })]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/nothing does not exist.*kimberlite format/s);
    expect(existsSync(join(root, 'nothing'))).toBe(false);
  });

  test('there, but not formatted', async () => {
    const dataDir = join(root, 'empty');
    mkdirSync(dataDir);
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ dataDir })]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/kimberlite format/);
    expect(readdirSync(dataDir)).toEqual([]);
  });

  test('of another cluster', async () => {
    const before = contents(join(root, 'node-0'));
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ clusterId: 'b'.repeat(32) })]);
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`belongs to cluster ${clusterId}.*Check clusterId and dataDir`, 's'));
    expect(contents(join(root, 'node-0'))).toEqual(before);
  });

  test('of another replica', async () => {
    const [, peer, , second, third] = ports;
    const replicas = [second, peer, third].map((port) => `127.0.0.1:${port}`);
    const before = contents(join(root, 'node-0'));
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ replica: 1, replicas })]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/belongs to replica 0.*Check replica and dataDir/s);
    expect(contents(join(root, 'node-0'))).toEqual(before);
  });

  test('formatted twice', async () => {
    const before = contents(join(root, 'node-0'));
    const { code, stderr } = await kimberlite(['format', '--config', configFile()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/formatted already/);
    expect(contents(join(root, 'node-0'))).toEqual(before);
  });

  test('its log without the superblock', async () => {
    const dataDir = join(root, 'headless');
    cpSync(join(root, 'node-0'), dataDir, { recursive: true });
    rmSync(join(dataDir, 'superblock'));
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ dataDir })]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/superblock/);
  });

  test('one file shorter than it was', async () => {
    const dataDir = join(root, 'short');
    cpSync(join(root, 'node-0'), dataDir, { recursive: true });
    const name = readdirSync(dataDir).find((file) => file.startsWith('segment')) ?? '';
    writeFileSync(join(dataDir, name), readFileSync(join(dataDir, name)).subarray(0, 8192));
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ dataDir })]);
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`${name} has 8192 bytes and should have \\d+`));
  });

  test('a file in its place, or in the way', async () => {
    const file = join(root, 'a-file');
    writeFileSync(file, 'not a directory');
    for (const command of ['start', 'format']) {
      const instead = await kimberlite([command, '--config', configFile({ dataDir: file })]);
      expect(instead.code).toBe(1);
      expect(instead.stderr).toMatch(/a-file/);
      expect(instead.stderr).not.toMatch(/\n\s+at /);
      const below = await kimberlite([command, '--config', configFile({ dataDir: join(file, 'node') })]);
      expect(below.code).toBe(1);
      expect(below.stderr).toMatch(/a-file/);
      expect(below.stderr).not.toMatch(/\n\s+at /);
    }
    expect(readFileSync(file, 'utf8')).toBe('not a directory');
  });

  // Root may write where mode bits say no, so a read-only mount stands for "no permission", where one can be made.
  const mounts = spawnSync('unshare', ['--mount', 'true']).status === 0;
  test.skipIf(!mounts)('on a read-only mount', async () => {
    const dataDir = join(root, 'read-only');
    cpSync(join(root, 'node-0'), dataDir, { recursive: true });
    const readOnly = [
      'unshare',
      '--mount',
      'sh',
      '-c',
      `mount --bind "${dataDir}" "${dataDir}" && mount -o remount,ro,bind "${dataDir}" && exec "$@"`,
      '_',
    ];
    const before = contents(dataDir);
    const { code, stderr } = await kimberlite(['start', '--config', configFile({ dataDir })], { via: readOnly });
    expect(code).toBe(1);
    expect(stderr).toMatch(/read-only|EROFS|cannot be written/i);
    expect(contents(dataDir)).toEqual(before);
  });
});

describe('ports', () => {
  test.each(['client', 'peer', 'admin'] as const)('a busy %s port', async (key) => {
    const [busy] = await freePorts(1);
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(busy, '127.0.0.1', resolve));
    const address = `127.0.0.1:${busy}`;
    const [, , , second, third] = ports;
    const changes =
      key === 'peer'
        ? { peer: address, replicas: [address, `127.0.0.1:${second}`, `127.0.0.1:${third}`] }
        : { [key]: address };
    const { code, stderr } = await kimberlite(['start', '--config', configFile(changes)]);
    await new Promise((resolve) => blocker.close(resolve));
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`the ${key} port ${address} is in use.*change \`${key}\``));
  });
});

describe('dev', () => {
  test('a busy port, before anything is formatted', async () => {
    const [busy] = await freePorts(1);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(busy, '127.0.0.1', resolve));
    const dataDir = join(root, 'dev-busy');
    const ended = await kimberlite(['dev', '--data-dir', dataDir, '--base-port', String(busy)]);
    await new Promise((resolve) => server.close(resolve));
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(new RegExp(`Port ${busy}.*in use.*--base-port`, 's'));
    expect(existsSync(join(dataDir, 'node-0'))).toBe(false);
  });

  test('one node directory missing', async () => {
    const dataDir = join(root, 'dev');
    mkdirSync(join(dataDir, 'node-0'), { recursive: true });
    mkdirSync(join(dataDir, 'node-2'));
    writeFileSync(
      join(dataDir, 'cluster.json'),
      JSON.stringify({ clusterId, nodes: 3, basePort: 7001, formatted: true }),
    );
    const [basePort] = await freePorts(1);
    const ended = await kimberlite(['dev', '--data-dir', dataDir, '--base-port', String(basePort)]);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/node 1 is missing.*recover/s);
    expect(readdirSync(dataDir).sort()).toEqual(['cluster.json', 'node-0', 'node-2']);
  });

  test('a directory of somebody else', async () => {
    const dataDir = join(root, 'photos');
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'cat.jpg'), 'meow');
    for (const flags of [[], ['--fresh']]) {
      const ended = await kimberlite(['dev', '--data-dir', dataDir, ...flags]);
      expect(ended.code).toBe(1);
      expect(ended.stderr).toMatch(/cat\.jpg.*--data-dir/s);
    }
    expect(readdirSync(dataDir)).toEqual(['cat.jpg']);
  });
});

describe('a second process on one directory', () => {
  test('is refused, and the first one lives', async () => {
    const first = spawn(process.execPath, [bin, 'start', '--config', configFile()], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    try {
      await new Promise<void>((resolve) => first.stderr?.once('data', () => resolve()));
      const [client, admin] = await freePorts(2);
      const file = configFile({ client: `127.0.0.1:${client}`, admin: `127.0.0.1:${admin}` });
      const second = await kimberlite(['start', '--config', file]);
      expect(second.code).toBe(1);
      expect(second.stderr).toMatch(new RegExp(`node-0 is in use by process ${first.pid}.*data directory of its own`));
      expect(first.exitCode).toBe(null);
    } finally {
      const gone = new Promise((resolve) => first.once('exit', resolve));
      first.kill('SIGKILL');
      await gone;
    }
  });
});
