import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { err, ok, type Result } from '@kimberlite/base';
import { LineCounter, parseDocument } from 'yaml';
import { configKeys, kindOf, nearestName, variableOf } from './config-keys.ts';
import type { ConfigProblem } from './config-problem.ts';

/** Values as somebody wrote them: text, lists of text, or (a mistake, found later) maps. */
export type RawValues = Record<string, unknown>;

const problem = (key: string, message: string, fix: string): ConfigProblem => ({
  severity: 'error',
  key,
  message,
  fix,
});

/** Written by people for "not set". */
const blank = (value: unknown): boolean => value === '' || value === 'null' || value === '~' || value === null;

/**
 * Reads YAML or JSON (which is YAML) without YAML's guesses at types: a cluster id of digits alone stays text.
 * A relative `dataDir` in a file is relative to that file, so that the node may be started from anywhere.
 */
export function readConfigFile(file: string): Result<RawValues, readonly ConfigProblem[]> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const fix = code === 'ENOENT' ? 'Check the path given to --config.' : 'Make the file readable for this user.';
    return err([problem(file, `cannot be read (${code})`, fix)]);
  }
  const values = parseConfigText(text, file);
  if (!values.ok) return values;
  const { dataDir } = values.value;
  if (typeof dataDir === 'string' && dataDir !== '') values.value.dataDir = resolve(dirname(file), dataDir);
  return values;
}

export function parseConfigText(text: string, file: string): Result<RawValues, readonly ConfigProblem[]> {
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: new LineCounter(), prettyErrors: true });
  const [first] = document.errors;
  if (first !== undefined) {
    const what = first.message.split('\n')[0] ?? 'is malformed';
    return err([problem(file, `is neither YAML nor JSON: ${what}`, 'Correct that place, or quote the value there.')]);
  }
  let content: unknown;
  try {
    content = document.toJS({ mapAsMap: true, maxAliasCount: 10 });
  } catch (error) {
    return err([problem(file, `cannot be read: ${String(error)}`, 'Write the values out, without aliases.')]);
  }
  if (!(content instanceof Map)) {
    return err([problem(file, 'holds no keys', 'Write one "key: value" a line; see `kimberlite start --help`.')]);
  }
  const values: RawValues = Object.create(null) as RawValues;
  for (const [key, value] of content) if (!blank(value)) values[String(key)] = value;
  return ok(values);
}

const splitList = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** From `KIMBERLITE_*`. Lists are separated by commas. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): RawValues {
  const values: RawValues = Object.create(null) as RawValues;
  for (const { key, kind } of configKeys) {
    const text = env[variableOf(key)];
    if (text === undefined || text === '') continue;
    values[key] = kind === 'list' ? splitList(text) : text;
  }
  return values;
}

/** Variables that other parts of the product read. */
const otherVariables = new Set(['KIMBERLITE_ENDPOINTS', 'KIMBERLITE_CONFIG']);

/**
 * Variables that look like a mistyped key. Only those near to a key: Kubernetes puts `KIMBERLITE_SERVICE_HOST` and
 * its like into every pod beside a service of that name, and they mean nothing here.
 */
export function strangeVariables(env: Readonly<Record<string, string | undefined>>): readonly ConfigProblem[] {
  const known = configKeys.map(({ key }) => variableOf(key));
  const problems: ConfigProblem[] = [];
  for (const name of Object.keys(env)) {
    if (!name.startsWith('KIMBERLITE_') || known.includes(name) || otherVariables.has(name)) continue;
    if (/_(SERVICE_(HOST|PORT)|PORT)(_|$)/.test(name)) continue;
    const near = nearestName(
      name.slice('KIMBERLITE_'.length),
      configKeys.map(({ key }) => key),
    );
    if (near === undefined) continue;
    const fix = `Did you mean ${variableOf(near)}?`;
    problems.push({ severity: 'warning', key: name, message: 'is a variable nobody reads', fix });
  }
  return problems;
}

/** Flags as a command line parser gives them, by key (`dataDir`); lists as arrays or separated by commas. */
export function readFlags(flags: Readonly<Record<string, unknown>>): RawValues {
  const values: RawValues = Object.create(null) as RawValues;
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    if (kindOf(key) === 'list') {
      const parts = Array.isArray(value) ? value.map(String) : [String(value)];
      values[key] = parts.flatMap(splitList);
    } else values[key] = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
  }
  return values;
}
