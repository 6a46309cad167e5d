import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configKeys, flagOf, variableOf } from '../src/config-keys.ts';
import { explainProblems } from '../src/config-problem.ts';
import { checkConfig, loadConfig } from '../src/config.ts';

const directory = mkdtempSync(join(tmpdir(), 'kimberlite-config-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const good = {
  clusterId: '0123456789abcdef0123456789abcdef',
  replica: '1',
  dataDir: '/var/lib/kimberlite',
  replicas: ['10.0.0.1:7011', '10.0.0.2:7011', '10.0.0.3:7011'],
  peerSecret: 'a-secret-of-enough-length',
};

function write(name: string, content: string): string {
  const file = join(directory, name);
  writeFileSync(file, content);
  return file;
}

/** The errors of `good` with some keys replaced, as lines a person would see. */
function complaint(changes: Record<string, unknown>): string {
  const values: Record<string, unknown> = { ...good, ...changes };
  for (const key of Object.keys(values)) if (values[key] === undefined) delete values[key];
  const checked = checkConfig(values);
  return explainProblems(checked.ok ? checked.value.warnings : checked.error);
}

describe('sources', () => {
  it('takes the flag before the variable before the file before the default, for every key', () => {
    const samples: Record<string, readonly [string, string, string]> = {
      clusterId: ['1'.repeat(32), '2'.repeat(32), '3'.repeat(32)],
      replica: ['0', '1', '2'],
      dataDir: ['/a', '/b', '/c'],
      client: ['h:1111', 'h:1112', 'h:1113'],
      admin: ['h:2111', 'h:2112', 'h:2113'],
      peer: ['0.0.0.0:7011', '0.0.0.0:7011', '0.0.0.0:7011'],
      replicas: ['a:7011,b:7011,c:7011', 'd:7011,e:7011,f:7011', 'g:7011,h:7011,i:7011'],
      advertisedClient: ['ws://a:1', 'ws://b:1', 'ws://c:1'],
      advertisedAdmin: ['http://a:1', 'http://b:1', 'http://c:1'],
      allowedOrigins: ['http://a', 'http://b', 'http://c'],
      allowedHosts: ['a', 'b', 'c'],
      peerSecret: ['s'.repeat(16), 't'.repeat(16), 'u'.repeat(16)],
      logLevel: ['debug', 'warn', 'error'],
      peerQueueBytes: ['5000001', '5000002', '5000003'],
      clientQueueBytes: ['5000001', '5000002', '5000003'],
      clientQueueBytesTotal: ['600000001', '600000002', '600000003'],
      clientsMax: ['1', '2', '3'],
      checkpointInterval: ['16', '17', '18'],
      scrubSeconds: ['1', '2', '3'],
      stopGraceMs: ['1', '2', '3'],
    };
    expect(Object.keys(samples).sort()).toEqual(configKeys.map(({ key }) => key).sort());
    const wildcardPeer = { ...good, peer: '0.0.0.0:7011' };
    for (const { key, kind } of configKeys) {
      const [inFile, inEnv, inFlag] = samples[key] ?? ['', '', ''];
      const listed = (text: string): unknown => (kind === 'list' ? text.split(',') : text);
      const file = write('sources.json', JSON.stringify({ ...wildcardPeer, [key]: listed(inFile) }));
      const env = { [variableOf(key)]: inEnv };
      const seen = [
        loadConfig({ file }),
        loadConfig({ file, env }),
        loadConfig({ file, env, flags: { [key]: inFlag } }),
      ];
      const expected = [inFile, inEnv, inFlag].map((text) => checkConfig({ ...wildcardPeer, [key]: listed(text) }));
      expect(
        seen.map((loaded) => loaded.ok && loaded.value.config),
        key,
      ).toEqual(expected.map((checked) => checked.ok && checked.value.config));
      expect(
        seen.every((loaded) => loaded.ok),
        `${key} is taken from every source`,
      ).toBe(true);
    }
  });

  it('names flags and variables after the key', () => {
    expect([flagOf('dataDir'), variableOf('dataDir')]).toEqual(['--data-dir', 'KIMBERLITE_DATA_DIR']);
  });

  it('reads YAML, keeps an id of digits as text, and takes a relative data directory from the file', () => {
    const file = write(
      'node.yaml',
      'clusterId: 00000000000000000000000000000001\nreplica: 0\ndataDir: data\nreplicas: [127.0.0.1:7011]\n',
    );
    const loaded = loadConfig({ file });
    expect(loaded.ok && loaded.value.config).toMatchObject({
      clusterId: '00000000000000000000000000000001',
      dataDir: join(directory, 'data'),
      client: { host: '127.0.0.1', port: 7001 },
      peer: { host: '127.0.0.1', port: 7011 },
      admin: { host: '127.0.0.1', port: 7021 },
    });
  });

  it.each([
    ['missing.yaml', undefined, /missing\.yaml cannot be read \(ENOENT\)[\s\S]*--config/],
    ['broken.yaml', 'a: [1,', /broken\.yaml is neither YAML nor JSON/],
    ['double.yaml', 'replica: 1\nreplica: 2', /unique/],
    ['list.yaml', '- 1', /holds no keys/],
    ['proto.json', '{"__proto__": "x"}', /__proto__ is not a key/],
  ])('explains a file that cannot be used: %s', (name, content, message) => {
    const loaded = loadConfig({ file: content === undefined ? join(directory, name) : write(name, content) });
    expect(loaded.ok ? '' : explainProblems(loaded.error)).toMatch(message);
  });

  it('warns of a mistyped variable and ignores those that Kubernetes sets', () => {
    const file = write('good.json', JSON.stringify(good));
    const env = { KIMBERLITE_REPLICAA: '1', KIMBERLITE_CLIENT_SERVICE_HOST: '1', KIMBERLITE_CLIENT_PORT: 'tcp://1:1' };
    const loaded = loadConfig({ file, env });
    expect(loaded.ok && loaded.value.warnings.map((warning) => warning.key)).toEqual(['KIMBERLITE_REPLICAA']);
  });
});

describe('messages name the key, what is wrong and the fix', () => {
  it('accepts what is right without a word', () => expect(complaint({})).toBe(''));

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a missing id', { clusterId: undefined }, /clusterId is missing\n {2}fix: .*--cluster-id.*KIMBERLITE_CLUSTER_ID/],
    ['a short id', { clusterId: 'abc' }, /clusterId must be 32 hex digits, not "abc"\n {2}fix: .*randomBytes\(16\)/],
    ['a uuid', { clusterId: '01234567-89AB-cdef-0123-456789abcdef' }, /fix: Write 0123456789abcdef0123456789abcdef/],
    ['a replica out of range', { replica: '3' }, /replica is 3, but `replicas` has 3 entries/],
    ['a negative replica', { replica: '-1' }, /replica must be a number from 0 to 5/],
    ['replica 1e0', { replica: '1e0' }, /replica must be a number/],
    ['no replicas', { replicas: undefined }, /replicas is missing/],
    ['replicas as text', { replicas: 'a:1' }, /replicas must be a list/],
    ['a replica list with a hole', { replicas: ['a:1', '', 'c:1'] }, /replicas\[1\] is without a port/],
    [
      'a twice named address',
      { replicas: ['a:1', 'b:1', 'A:1'], peer: 'b:1' },
      /replicas\[2\] is a:1, which replica 0 has/,
    ],
    [
      'a wildcard replica',
      { replicas: ['0.0.0.0:1', 'b:1', 'c:1'], peer: 'b:1' },
      /replicas\[0\] .*nobody can connect/,
    ],
    ['seven replicas', { replicas: ['a:1', 'b:1', 'c:1', 'd:1', 'e:1', 'f:1', 'g:1'] }, /at most 6/],
    [
      'the wrong own address',
      { peer: '10.0.0.9:7011' },
      /peer is 10\.0\.0\.9:7011, but the others look for replica 1 at 10/,
    ],
    ['a URL for an address', { client: 'ws://h:1' }, /client is a URL where only "host:port"/],
    ['a port too high', { client: 'h:70000' }, /client is with port 70000, beyond 65535/],
    ['a bare port', { client: '7001' }, /client is a port without a host/],
    ['bare IPv6', { client: '::1:7001' }, /brackets/],
    ['equal ports', { client: '10.0.0.2:7011' }, /peer is 10\.0\.0\.2:7011, which `client` uses already/],
    ['equal ports by wildcard', { client: '0.0.0.0:9', admin: '10.0.0.2:9' }, /admin .*which `client` uses/],
    ["another's peer port", { client: '10.0.0.3:7011' }, /client .*another replica's peer address/],
    ['an unknown key', { replicaas: ['x'] }, /replicaas is not a key[\s\S]*Did you mean "replicas"/],
    ['a key far from all', { zzzzzzzzzzzz: 'x' }, /zzzzzzzzzzzz is not a key[\s\S]*Known keys: clusterId/],
    ['an origin with a path', { allowedOrigins: ['https://a.example/x'] }, /allowedOrigins\[0\] is not an origin/],
    ['every origin', { allowedOrigins: ['*'] }, /must not be "\*"/],
    ['a host with a port', { allowedHosts: ['a.example:80'] }, /allowedHosts\[0\] is not a plain host name/],
    ['a short secret', { peerSecret: 'short' }, /peerSecret has 5 characters; at least 16/],
    ['a log level', { logLevel: 'loud' }, /logLevel is unknown \("loud"\)[\s\S]*debug, info, warn, error/],
    ['a tiny queue', { clientQueueBytes: '5' }, /clientQueueBytes must be a whole number of bytes from 4194304/],
    ['a total under one', { clientQueueBytesTotal: '4194304' }, /clientQueueBytesTotal is 4194304, less than/],
    ['an advertised path', { advertisedClient: 'http://x' }, /advertisedClient is no ws: or wss: URL/],
    ['a map for a value', { dataDir: new Map() }, /dataDir is not a single value/],
  ])('%s', (_, changes, message) => expect(complaint(changes)).toMatch(message));

  it('reports everything at once', () => {
    expect(complaint({ clusterId: 'x', replica: 'y', client: 'z' }).match(/^error/gm)).toHaveLength(3);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['an even count', { replicas: ['a:1', 'b:1', 'c:1', 'd:1'] }, /warning: replicas has 4 entries: an even number/],
    ['an open peer port without secret', { peerSecret: undefined }, /warning: peerSecret is not set although/],
    ['a wildcard that cannot be told', { client: '0.0.0.0:7001' }, /warning: advertisedClient is not set/],
    ['a privileged port', { client: 'h:80' }, /warning: client uses port 80/],
  ])('only warns of %s', (_, changes, message) => {
    const text = complaint(changes);
    expect(text).toMatch(message);
    expect(text).not.toMatch(/^error/m);
  });
});
