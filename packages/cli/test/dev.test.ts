import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import picocolors from 'picocolors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeConfig, nodesOf, planStart, readCluster, wipe, writeCluster } from '../src/dev/layout.ts';
import { takeLock } from '../src/dev/lock.ts';
import { showLine } from '../src/dev/node-lines.ts';
import { countSignals } from '../src/dev/stop-signals.ts';
import { CliFailure } from '../src/failure.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kimberlite-dev-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const cluster = { clusterId: 'ab'.repeat(16), nodes: 3, basePort: 7001, formatted: true };
const code = (work: () => unknown): string => {
  try {
    work();
    return 'none';
  } catch (error) {
    return error instanceof CliFailure ? error.report.code : String(error);
  }
};
const makeNodes = (...replicas: number[]): void => {
  for (const replica of replicas) mkdirSync(join(root, `node-${replica}`));
};

describe('what a start of dev finds', () => {
  it('a directory that does not exist, or is empty, is new', () => {
    expect(planStart(join(root, 'new'), undefined)).toEqual({ type: 'format' });
    expect(planStart(root, 5)).toEqual({ type: 'format' });
  });

  it('a whole cluster is started as it is', () => {
    writeCluster(root, cluster);
    makeNodes(0, 1, 2);
    expect(planStart(root, undefined)).toEqual({ type: 'start', cluster });
    expect(planStart(root, 3)).toEqual({ type: 'start', cluster });
    expect(code(() => planStart(root, 5))).toBe('WrongNodeCount');
  });

  it('a node whose directory is missing is never formatted anew (pitfall 25)', () => {
    writeCluster(root, cluster);
    makeNodes(0, 2);
    expect(code(() => planStart(root, undefined))).toBe('NodeDirectoryMissing');
    expect(() => planStart(root, undefined)).toThrow(/recover/);
  });

  it('an interrupted first start may format again: nothing ran yet', () => {
    writeCluster(root, { ...cluster, formatted: false });
    makeNodes(0);
    expect(planStart(root, undefined)).toEqual({ type: 'format' });
  });

  it('nodes without a description, and a damaged description, are refused', () => {
    makeNodes(0);
    expect(code(() => planStart(root, undefined))).toBe('DataDirectoryDamaged');
    writeFileSync(join(root, 'cluster.json'), '{"clusterId": 3');
    expect(code(() => planStart(root, undefined))).toBe('DataDirectoryDamaged');
    writeFileSync(join(root, 'cluster.json'), JSON.stringify({ ...cluster, nodes: 4 }));
    expect(code(() => readCluster(root))).toBe('DataDirectoryDamaged');
  });

  it('somebody else’s directory is left alone', () => {
    writeFileSync(join(root, 'thesis.tex'), 'x');
    expect(code(() => planStart(root, undefined))).toBe('DataDirectoryForeign');
    expect(code(() => wipe(root))).toBe('DataDirectoryForeign');
    expect(readdirSync(root)).toEqual(['thesis.tex']);
  });

  it('--fresh empties what a dev cluster put there, except the lock it holds', () => {
    writeCluster(root, cluster);
    makeNodes(0, 1, 2);
    const lock = takeLock(root);
    wipe(root);
    expect(readdirSync(root)).toEqual(['dev.lock']);
    lock.release();
    expect(readdirSync(root)).toEqual([]);
  });
});

describe('the lock of a dev directory', () => {
  it('stops a second one while the first lives', () => {
    const lock = takeLock(root);
    expect(lock.stale).toBe(false);
    expect(code(() => takeLock(root))).toBe('DataDirectoryInUse');
    lock.release();
    takeLock(root).release();
  });

  it.each([
    ['a process that is gone', JSON.stringify({ pid: 2 ** 22 + 1, started: '1' })],
    ['a process that got the same number later', JSON.stringify({ pid: process.pid, started: '1' })],
    ['nonsense', '{'],
  ])('is not held by %s', (_, text) => {
    writeFileSync(join(root, 'dev.lock'), text);
    const lock = takeLock(root);
    expect(lock.stale).toBe(true);
    lock.release();
  });
});

describe('ports', () => {
  it('are P+i, P+10+i and P+20+i', () => {
    const nodes = nodesOf('/d', 8001, 3);
    expect(nodes.map(({ client, peer, admin }) => [client, peer, admin])).toEqual([
      [8001, 8011, 8021],
      [8002, 8012, 8022],
      [8003, 8013, 8023],
    ]);
    expect(nodes[1] === undefined ? null : nodeConfig(cluster, nodes[1], nodes)).toEqual({
      clusterId: cluster.clusterId,
      replica: 1,
      dataDir: join('/d', 'node-1'),
      client: '127.0.0.1:8002',
      peer: '127.0.0.1:8012',
      admin: '127.0.0.1:8022',
      replicas: ['127.0.0.1:8011', '127.0.0.1:8012', '127.0.0.1:8013'],
    });
  });
});

describe('signals', () => {
  const press = (...atMs: number[]): string[] => {
    const done: string[] = [];
    let now = 0;
    const handle = countSignals({ onStop: () => done.push('stop'), onKill: () => done.push('kill') }, () => now);
    for (now of atMs) handle();
    return done;
  };

  it('stop at the first, ignore its echo, kill at the third', () => {
    expect(press(0)).toEqual(['stop']);
    expect(press(0, 5)).toEqual(['stop']);
    expect(press(0, 5, 900)).toEqual(['stop', 'kill']);
  });

  it('take a second one long after the first for impatience', () => {
    expect(press(0, 5000)).toEqual(['stop', 'kill']);
  });
});

describe("a node's log line in the terminal of dev", () => {
  const colors = picocolors.createColors(false);
  const show = (text: string, levelMin = 40): string | null => showLine(1, text, { levelMin, colors });

  it('shows warnings and worse, with their fields', () => {
    expect(show('{"level":"warn","time":"t","replica":1,"pid":3,"msg":"slow","peer":2}')).toBe(
      'node 1 warn slow peer=2',
    );
    expect(show('{"level":"info","msg":"hello"}')).toBeNull();
    expect(show('{"level":"info","msg":"hello"}', 0)).toBe('node 1 info hello');
  });

  it('passes on what is no log line, and drops empty ones', () => {
    expect(show('Error: boom')).toBe('node 1 Error: boom');
    expect(show('{broken')).toBe('node 1 {broken');
    expect(show('  ')).toBeNull();
  });
});
