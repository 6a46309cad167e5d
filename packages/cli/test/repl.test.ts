import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { historyFile, readHistory, writeHistory } from '../src/repl/history.ts';
import { helpText, parseStatement, splitWords } from '../src/repl/language.ts';
import { complete } from '../src/repl/prompt.ts';

const exec = (...commands: object[]) => ({ type: 'exec', commands });

describe('statements', () => {
  it.each([
    ['', { type: 'nothing' }],
    ['  help ; '.trim(), { type: 'help' }],
    ['use 3', { type: 'use', tenantId: 3 }],
    ['tenant 4 a clinic', exec({ type: 'CreateTenant', tenantId: 4, name: 'a clinic' })],
    [
      'table p id:int, name:text? key id',
      exec({ tenantId: 1, type: 'CreateTable', table: 'p', columns: { id: 'int', name: 'text?' }, primaryKey: ['id'] }),
    ],
    [
      'table p a:int b:int key a, b',
      exec({ tenantId: 1, type: 'CreateTable', table: 'p', columns: { a: 'int', b: 'int' }, primaryKey: ['a', 'b'] }),
    ],
    [
      'index i p name unique',
      exec({ tenantId: 1, type: 'CreateIndex', table: 'p', index: 'i', columns: ['name'], unique: true }),
    ],
    ['insert p {"id": 1, "s": "a } b"}', exec({ tenantId: 1, type: 'Insert', table: 'p', row: { id: 1, s: 'a } b' } })],
    ['update p {"id":1} {"s":"x"}', exec({ tenantId: 1, type: 'Update', table: 'p', key: { id: 1 }, set: { s: 'x' } })],
    ['delete p {"id":1}', exec({ tenantId: 1, type: 'Delete', table: 'p', key: { id: 1 } })],
    ['drop p', exec({ tenantId: 1, type: 'DropTable', table: 'p' })],
    ['find p', { type: 'query', query: { tenantId: 1, table: 'p' } }],
    ['find p {"s":{"gte":"a"}}', { type: 'query', query: { tenantId: 1, table: 'p', where: { s: { gte: 'a' } } } }],
    ['get p {"id":1}', { type: 'query', query: { tenantId: 1, table: 'p', where: { id: 1 } } }],
    ['{"type":"X"}', exec({ type: 'X' })],
    ['[{"type":"X"},{"type":"Y"}]', exec({ type: 'X' }, { type: 'Y' })],
    ['{"table":"p"}', { type: 'query', query: { tenantId: 1, table: 'p' } }],
    ['{"tenantId":9,"table":"p"}', { type: 'query', query: { tenantId: 9, table: 'p' } }],
  ])('%s', (text, statement) => {
    expect(parseStatement(text, 1)).toEqual(statement);
  });

  it.each(['what', 'insert p', 'insert p {"id":', 'use x', 'table', 'table p', 'table p id', 'index i p', '{"a"'])(
    '%s is a mistake with a reason',
    (text) => {
      const statement = parseStatement(text, 1);
      expect(statement.type).toBe('mistake');
      expect(statement).toHaveProperty('message', expect.stringMatching(/.{10}/));
    },
  );

  it('asks for the tenant before anything in one', () => {
    expect(parseStatement('find p', null)).toMatchObject({ type: 'mistake' });
  });

  it('understands every line of its own help', () => {
    for (const text of helpText.split('\n')) {
      const typed = text.slice(2, 43).trim();
      if (!/^[a-z]+ /.test(typed) || typed.startsWith('tenants,')) continue;
      expect([typed, parseStatement(typed, 1).type]).toEqual([typed, expect.stringMatching(/exec|query|use/)]);
    }
  });

  it('splits outside of JSON only', () => {
    expect(splitWords('a {"b": "\\" }"} [1, 2] c')).toEqual(['a', '{"b": "\\" }"}', '[1, 2]', 'c']);
  });
});

it('completes verbs, tenants and tables', () => {
  const names = { tables: ['patients', 'pets'], tenants: ['1', '12'] };
  expect(complete(names, 'ins')).toEqual([['insert '], 'ins']);
  expect(complete(names, 'find p')).toEqual([['patients ', 'pets '], 'p']);
  expect(complete(names, 'use 1')).toEqual([['1 ', '12 '], '1']);
  expect(complete(names, 'find pets x')[0]).toEqual([]);
});

it('keeps its history in the state directory, and none where that cannot be', () => {
  const root = mkdtempSync(join(tmpdir(), 'kimberlite-history-'));
  try {
    const file = historyFile({ XDG_STATE_HOME: root });
    expect(readHistory(file)).toEqual([]);
    writeHistory(file, ['newest', 'oldest']);
    expect(readFileSync(file, 'utf8')).toBe('oldest\nnewest\n');
    expect(readHistory(file)).toEqual(['newest', 'oldest']);
    writeHistory('/dev/null/history', ['x']);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
