import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explainProblems } from '../src/config-problem.ts';
import { configKeys, variableOf } from '../src/config-keys.ts';
import { loadConfig } from '../src/config.ts';
import { metricNames } from '../src/metrics.ts';

const deploy = fileURLToPath(new URL('../../../deploy', import.meta.url));
const files = readdirSync(deploy, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.(ya?ml|json|md|service)$/.test(name),
);
const read = (name: string): string => readFileSync(join(deploy, name), 'utf8');

describe('the examples in deploy', () => {
  it.each(files)('%s names only metrics that exist', (name) => {
    const named = [...read(name).matchAll(/\bkimberlite_([a-z_]+)/g)].map(([, metric]) => metric);
    expect(named.filter((metric) => !metricNames.includes(metric ?? ''))).toEqual([]);
  });

  it.each(files)('%s sets only variables that are read', (name) => {
    const known = [...configKeys.map(({ key }) => variableOf(key)), 'KIMBERLITE_ENDPOINTS', 'KIMBERLITE_SERVICE_HOST'];
    const named = [...read(name).matchAll(/\bKIMBERLITE_[A-Z_]+/g)].map(([variable]) => variable);
    expect(named.filter((variable) => !known.includes(variable))).toEqual([]);
  });

  it('the configuration is a valid one', () => {
    const loaded = loadConfig({ file: join(deploy, 'systemd/node.yaml') });
    expect(loaded.ok ? '' : explainProblems(loaded.error)).toBe('');
    expect(loaded.ok && loaded.value.warnings).toEqual([]);
  });

  it.each<[string, Record<string, string>]>([
    ['compose', { KIMBERLITE_REPLICAS: 'node-0:7011,node-1:7011,node-2:7011' }],
    [
      'kubernetes',
      { KIMBERLITE_REPLICAS: 'kimberlite-0.kimberlite:7011,kimberlite-1.kimberlite:7011,kimberlite-2.kimberlite:7011' },
    ],
  ])('so is the environment of %s', (_, changes) => {
    const env = {
      KIMBERLITE_CLUSTER_ID: '0'.repeat(32),
      KIMBERLITE_PEER_SECRET: 's'.repeat(16),
      KIMBERLITE_REPLICA: '2',
      KIMBERLITE_DATA_DIR: '/var/lib/kimberlite/node',
      KIMBERLITE_CLIENT: '0.0.0.0:7001',
      KIMBERLITE_PEER: '0.0.0.0:7011',
      KIMBERLITE_ADMIN: '0.0.0.0:7021',
      KIMBERLITE_ADVERTISED_CLIENT: 'ws://127.0.0.1:7003',
      KIMBERLITE_ADVERTISED_ADMIN: 'http://127.0.0.1:7023',
      ...changes,
    };
    const loaded = loadConfig({ env });
    expect(loaded.ok ? explainProblems(loaded.value.warnings) : explainProblems(loaded.error)).toBe('');
  });
});
