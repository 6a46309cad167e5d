import { describe, expect, it } from 'vitest';
import { run } from './harness.ts';

const commands = [
  'dev',
  'start',
  'format',
  'config',
  'status',
  'exec',
  'query',
  'tables',
  'describe',
  'repl',
  'transfer',
  'member',
  'recover',
  'backup',
  'restore',
  'bench',
  'drill',
  'inspect',
  'verify',
  'sim',
];

describe('usage', () => {
  it.each(commands)('%s --help teaches by examples and succeeds', async (name) => {
    const argv = name === 'config' ? ['config', 'check', '--help'] : [name, '--help'];
    const { code, out, err } = await run(argv);
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toContain('Examples:');
    expect(out).toMatch(/\$ k/);
  });

  it('lists every command there is, and none there is not', async () => {
    const { out } = await run(['--help']);
    for (const name of commands) expect(out).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    for (const name of ['watch', 'export', 'import', 'fork']) {
      expect(out).not.toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    }
  });

  it.each([
    [['stauts'], /Did you mean status/],
    [['watch', 'patients'], /unknown command 'watch'/],
    [['exec'], /missing required argument 'json'/],
    [['exec', '{not json'], /not JSON/],
    [['exec', '42'], /A command is a JSON object/],
    [['query', '[]'], /A query is a JSON object/],
    [['status', '--endpoint', 'x'], /unknown option '--endpoint'.*\(Did you mean --endpoints/s],
    [['status', '--endpoints', 'http://127.0.0.1:7001'], /no ws:\/\/ or wss:\/\/ URL/],
    [['status', '--endpoints', ','], /names no endpoint/],
    [['bench', '--clients', 'many'], /--clients must be a whole number/],
    [['bench', '--mode', 'fast'], /write, read or mixed/],
    [['bench', '--warm-up', 'long'], /--warm-up must be a whole number from 0/],
    [['bench', '--clients', '1', '--connections', '2'], /would leave connections idle/],
    [['dev', '--nodes', '4'], /--nodes is 3 or 5/],
    [['drill'], /Say which scenario: kill-primary, .*or --all/],
    [['drill', 'kill-primry'], /no scenario "kill-primry": kill-primary/],
    [['drill', 'kill-two', '--nodes', '3'], /kill-two needs --nodes 5/],
    [['drill', 'kill-all', '--nodes', '4'], /--nodes is 3 or 5/],
    [['drill', 'kill-all', '--rounds', '0'], /--rounds must be a whole number from 1/],
    [['drill', 'kill-all', '--all'], /leave out "kill-all"/],
    [[], /Say what to do/],
  ])('%j is wrong usage: exit code 2 and a reason', async (argv, reason) => {
    const { code, out, err } = await run(argv);
    expect(err).toMatch(reason);
    expect(code).toBe(2);
    expect(out).toBe('');
  });

  it('prints one JSON document for wrong usage with --json', async () => {
    const { code, out } = await run(['exec', '{', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ ok: false, error: { code: 'WrongUsage' } });
  });

  it('reads - from stdin', async () => {
    const { code, err } = await run(['exec', '-'], { stdin: 'nonsense' });
    expect(code).toBe(2);
    expect(err).toContain('stdin');
  });

  it('refuses JSON that would set a prototype', async () => {
    const { code, err } = await run(['exec', '{"type":"Insert","row":{"__proto__":{"x":1}}}']);
    expect(code).toBe(2);
    expect(err).toContain('__proto__');
  });
});

describe('a cluster that is not there', () => {
  const nobody = 'ws://127.0.0.1:1';

  it('is an error with its own code, and tells what to do', async () => {
    const { code, out, err } = await run(['status', '--json', '--endpoints', nobody]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ ok: false, error: { code: 'ConnectFailed' } });
    expect(err).toContain('npm start');
  });

  it('is found through the variable when there is no flag', async () => {
    const { code, err } = await run(['status'], { env: { KIMBERLITE_ENDPOINTS: `${nobody},ws://127.0.0.1:2` } });
    expect(code).toBe(1);
    expect(err).toContain('127.0.0.1:2');
  });
});
