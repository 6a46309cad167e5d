import { parseJson } from '@kimberlite/wire';

// What may be typed at the prompt: a JSON command or query as for `exec` and `query`, or a short form.

export type Statement =
  | { readonly type: 'nothing' }
  | { readonly type: 'exec'; readonly commands: readonly unknown[] }
  | { readonly type: 'query'; readonly query: Readonly<Record<string, unknown>> }
  | { readonly type: 'use'; readonly tenantId: number }
  | { readonly type: 'describe'; readonly table: string }
  | { readonly type: 'tables' }
  | { readonly type: 'tenants' }
  | { readonly type: 'status' }
  | { readonly type: 'help' }
  | { readonly type: 'exit' }
  | { readonly type: 'mistake'; readonly message: string };

/** Words the prompt completes. */
export const verbs = [
  'help',
  'exit',
  'use',
  'tenants',
  'tables',
  'describe',
  'status',
  'tenant',
  'table',
  'insert',
  'upsert',
  'update',
  'delete',
  'get',
  'find',
  'drop',
  'index',
] as const;

export const helpText = `
  tenant 1 clinic                          create a tenant
  use 1                                    work in tenant 1
  table patients id:int name:text? key id  create a table; the key is what comes after "key"
  index by_name patients name              create an index; "unique" at its end makes it unique
  insert patients {"id":1,"name":"Ada"}    also upsert
  update patients {"id":1} {"name":"Eva"}  the key, then what to set
  get patients {"id":1}                    one row
  find patients {"name":{"gte":"A"}}       rows; without a condition, all
  delete patients {"id":1}
  drop patients                            the table and its rows
  tenants, tables, describe patients, status, help, exit

  Or JSON as for exec and query:
  {"type":"Insert","tenantId":1,"table":"patients","row":{"id":2}}
  {"tenantId":1,"table":"patients","orderBy":["name"],"limit":10}
`;

const mistake = (message: string): Statement => ({ type: 'mistake', message });

/** Splits at blanks outside of JSON: `a {"b": 1} c` has three parts. Brackets within strings do not count. */
export function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (quoted) {
      word += c;
      if (c === '\\') word += text.charAt(++i);
      else if (c === '"') quoted = false;
      continue;
    }
    if (/\s/.test(c) && depth === 0) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    if (c === '"') quoted = true;
    else if (c === '{' || c === '[') depth += 1;
    else if (c === '}' || c === ']') depth -= 1;
    word += c;
  }
  if (word !== '') words.push(word);
  return words;
}

/** `tenantId`: the one chosen with `use`, or null. */
export function parseStatement(text: string, tenantId: number | null): Statement {
  const trimmed = text.trim().replace(/;$/, '');
  if (trimmed === '') return { type: 'nothing' };
  if (trimmed.startsWith('{') || trimmed.startsWith('[')) return parseDocument(trimmed, tenantId);
  const [verb = '', ...words] = splitWords(trimmed);
  switch (verb.toLowerCase()) {
    case 'help':
    case '?':
      return { type: 'help' };
    case 'exit':
    case 'quit':
      return { type: 'exit' };
    case 'tenants':
      return { type: 'tenants' };
    case 'status':
      return { type: 'status' };
    case 'use':
      return numbered(words, (id) => ({ type: 'use', tenantId: id }));
    case 'tenant':
      return numbered(words, (id) => {
        const name = words.slice(1).join(' ');
        return {
          type: 'exec',
          commands: [{ type: 'CreateTenant', tenantId: id, name: name === '' ? `tenant ${id}` : name }],
        };
      });
    default:
      return inTenant(verb.toLowerCase(), words, tenantId);
  }
}

function numbered(words: readonly string[], make: (id: number) => Statement): Statement {
  const id = Number(words[0]);
  return Number.isSafeInteger(id) && id > 0 ? make(id) : mistake('A tenant is a number from 1, as in: use 1');
}

function parseDocument(text: string, tenantId: number | null): Statement {
  const parsed = parseJson(text);
  if (!parsed.ok) return mistake(parsed.error);
  if (Array.isArray(parsed.value)) return { type: 'exec', commands: parsed.value };
  const value = parsed.value as Readonly<Record<string, unknown>>;
  if ('type' in value) return { type: 'exec', commands: [value] };
  return { type: 'query', query: tenantId === null ? value : { tenantId, ...value } };
}

function inTenant(verb: string, words: readonly string[], tenantId: number | null): Statement {
  if (!(verbs as readonly string[]).includes(verb)) return mistake(`"${verb}" is nothing I know. help shows what is.`);
  if (tenantId === null) return mistake('Which tenant? Say so first, as in: use 1 (tenants lists them)');
  const [table, ...rest] = words;
  if (verb === 'tables') return { type: 'tables' };
  if (table === undefined) return mistake(`${verb} needs the name of a table. help shows how it is written.`);
  if (verb === 'describe') return { type: 'describe', table };
  const exec = (command: object): Statement => ({ type: 'exec', commands: [{ tenantId, ...command }] });
  if (verb === 'drop') return exec({ type: 'DropTable', table });
  if (verb === 'table') return createTable(table, rest, exec);
  if (verb === 'index') return createIndex(table, rest, exec);
  return withRows(verb, table, rest, { tenantId, exec });
}

function createTable(table: string, words: readonly string[], exec: (command: object) => Statement): Statement {
  const at = words.indexOf('key');
  const columns: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const word of at === -1 ? words : words.slice(0, at)) {
    const [name = '', type = ''] = word.replace(/,$/, '').split(':');
    if (name === '' || type === '')
      return mistake(`"${word}" is no column. Write name:type, as in id:int or name:text?`);
    columns[name] = type;
  }
  const [first] = Object.keys(columns);
  if (first === undefined) return mistake('A table has columns, as in: table patients id:int name:text? key id');
  const key = at === -1 ? [first] : words.slice(at + 1).map((word) => word.replace(/,$/, ''));
  return exec({ type: 'CreateTable', table, columns: { ...columns }, primaryKey: key });
}

function createIndex(index: string, words: readonly string[], exec: (command: object) => Statement): Statement {
  const unique = words.at(-1) === 'unique';
  const [table, ...columns] = unique ? words.slice(0, -1) : words;
  if (table === undefined || columns.length === 0) return mistake('As in: index by_name patients name');
  return exec({ type: 'CreateIndex', table, index, columns, unique });
}

/** JSON objects each verb takes after the table. */
const objectsOf: Readonly<Record<string, readonly string[]>> = {
  insert: ['row'],
  upsert: ['row'],
  update: ['key', 'set'],
  delete: ['key'],
  get: ['key'],
};
const commandOf: Readonly<Record<string, string>> = {
  insert: 'Insert',
  upsert: 'Upsert',
  update: 'Update',
  delete: 'Delete',
};

function withRows(
  verb: string,
  table: string,
  words: readonly string[],
  context: { readonly tenantId: number; readonly exec: (command: object) => Statement },
): Statement {
  const names = objectsOf[verb] ?? [];
  const values: Record<string, unknown> = {};
  for (const [i, name] of (verb === 'find' && words.length > 0 ? ['where'] : names).entries()) {
    const word = words[i];
    if (word === undefined) return mistake(`${verb} needs the ${name} as a JSON object. help shows how it is written.`);
    const parsed = parseJson(word);
    if (!parsed.ok) return mistake(parsed.error);
    values[name] = parsed.value;
  }
  const type = commandOf[verb];
  if (type !== undefined) return context.exec({ type, table, ...values });
  const where = verb === 'get' ? values['key'] : values['where'];
  const { tenantId } = context;
  return { type: 'query', query: where === undefined ? { tenantId, table } : { tenantId, table, where } };
}
