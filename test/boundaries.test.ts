import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The rooms in the order in which they may import, and what each may import (ARCHITECTURE.md). */
const rooms: Record<string, { path: string; may: readonly string[]; pure: boolean }> = {
  base: { path: 'packages/base', may: [], pure: true },
  kernel: { path: 'packages/kernel', may: ['base'], pure: true },
  vsr: { path: 'packages/vsr', may: ['base'], pure: true },
  log: { path: 'packages/log', may: ['base'], pure: true },
  wire: { path: 'packages/wire', may: ['base', 'kernel', 'vsr'], pure: true },
  host: { path: 'packages/host', may: ['base', 'vsr', 'log', 'wire'], pure: true },
  client: { path: 'packages/client', may: ['base', 'kernel', 'wire'], pure: false },
  sim: { path: 'sim', may: ['base', 'kernel', 'vsr', 'log', 'wire', 'host', 'client'], pure: false },
  node: { path: 'packages/node', may: ['base', 'kernel', 'vsr', 'log', 'wire', 'host'], pure: false },
  dashboard: { path: 'packages/dashboard', may: ['base', 'kernel', 'vsr', 'log', 'wire', 'client'], pure: false },
  // wire: a probe has to ask one particular replica, which the SDK by design does not.
  drill: { path: 'packages/drill', may: ['base', 'wire', 'client', 'node', 'sim'], pure: false },
  cli: {
    path: 'packages/cli',
    may: ['base', 'kernel', 'vsr', 'log', 'wire', 'host', 'client', 'sim', 'node', 'dashboard', 'drill'],
    pure: false,
  },
};

/** Libraries a pure package may use: they run anywhere and read neither clock nor network. */
const pureLibraries: Record<string, readonly string[]> = {
  kernel: ['sorted-btree'],
  wire: ['msgpackr', 'zod'],
};

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly engines?: { readonly node?: string };
  readonly packageManager?: string;
}

const text = (path: string): string => readFileSync(join(root, path), 'utf8');
const manifest = (path: string): Manifest => JSON.parse(text(join(path, 'package.json'))) as Manifest;
const workspaceName = (name: string): string | null => /^@kimberlite\/(.+)$/.exec(name)?.[1] ?? null;

function sourceFiles(directory: string): string[] {
  if (!existsSync(join(root, directory))) return [];
  return readdirSync(join(root, directory), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** Every module a file names: static, re-exported, dynamic, type-only. */
function imports(file: string): string[] {
  // A clause of names, never anything with a bracket or an operator in it: this is no parser, and need not be one.
  const patterns = [
    /^[ \t]*(?:import|export)(?:\s+type)?\s+(?:\*(?:\s+as\s+\w+)?|\w+|\{[^}]*\}|\w+\s*,\s*\{[^}]*\})\s*from\s*['"]([^'"]+)['"]/gm,
    /^[ \t]*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\s*\(\s*['"]([^'"]+)['"]/g,
  ];
  const source = text(file);
  return patterns.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1] ?? ''));
}

function tool(path: string, args: readonly string[]): { code: number; output: string } {
  const result = spawnSync(process.execPath, [join(root, path), ...args], { cwd: root, encoding: 'utf8' });
  return { code: result.status ?? 1, output: result.stdout + result.stderr };
}

describe.each(Object.entries(rooms))('%s', (name, room) => {
  const files = sourceFiles(join(room.path, 'src'));

  it('declares only rooms above it', () => {
    const declared = Object.keys(manifest(room.path).dependencies ?? {}).flatMap((d) => workspaceName(d) ?? []);
    expect(declared.filter((d) => !room.may.includes(d))).toEqual([]);
  });

  it('references only rooms above it, and every one it declares', () => {
    const config = JSON.parse(text(join(room.path, 'tsconfig.json'))) as { references?: { path: string }[] };
    const referenced = (config.references ?? []).map((reference) => join(room.path, reference.path));
    const allowed = room.may.map((other) => rooms[other]?.path);
    const own = (path: string): boolean => path.startsWith(`${room.path}/`);
    expect(referenced.filter((path) => !allowed.includes(path) && !own(path))).toEqual([]);
    for (const dependency of Object.keys(manifest(room.path).dependencies ?? {})) {
      const other = workspaceName(dependency);
      if (other !== null) expect(referenced).toContain(rooms[other]?.path);
    }
  });

  it('imports only what it declares, and siblings inside its own src', () => {
    const declared = Object.keys(manifest(room.path).dependencies ?? {});
    const strays: string[] = [];
    for (const file of files) {
      for (const specifier of imports(file)) {
        const inside = specifier.startsWith('.')
          ? join(dirname(file), specifier).startsWith(`${join(room.path, 'src')}/`) && specifier.endsWith('.ts')
          : specifier.startsWith('node:')
            ? !room.pure
            : declared.some((d) => specifier === d || (specifier.startsWith(`${d}/`) && workspaceName(d) === null));
        if (!inside) strays.push(`${file}: ${specifier}`);
      }
    }
    expect(strays).toEqual([]);
  });

  if (!room.pure) return;

  it('is a pure program: no types of node or the browser, no foreign library', () => {
    const config = JSON.parse(text(join(room.path, 'tsconfig.json'))) as {
      extends: string;
      compilerOptions: { types?: string[]; lib?: string[] };
    };
    expect(config.extends).toBe('../../tsconfig.base.json');
    expect(config.compilerOptions.types ?? []).toEqual([]);
    expect(config.compilerOptions.lib).toBeUndefined();
    const libraries = Object.keys(manifest(room.path).dependencies ?? {}).filter((d) => workspaceName(d) === null);
    expect(libraries.filter((d) => !(pureLibraries[name] ?? []).includes(d))).toEqual([]);
  });

  it('has no reference that would pull node types into the program', () => {
    const pulls = files.filter((file) => /^\s*\/\/\/\s*<reference|@ts-(ignore|expect-error|nocheck)/m.test(text(file)));
    expect(pulls).toEqual([]);
  });
});

describe('the base configuration', () => {
  it('has no node types and no DOM', () => {
    const { compilerOptions } = JSON.parse(text('tsconfig.base.json')) as {
      compilerOptions: { types: string[]; lib: string[] };
    };
    expect(compilerOptions.types).toEqual([]);
    expect(compilerOptions.lib.filter((lib) => !/^(ES\d{4}|ESNext\.Disposable)$/.test(lib))).toEqual([]);
  });

  it('pins one pnpm everywhere', () => {
    const { packageManager } = manifest('.');
    expect(text('packages/cli/bin/tools.js')).toContain(`pnpmVersion = '${packageManager?.replace('pnpm@', '')}'`);
  });

  it('compiles every room', () => {
    const config = JSON.parse(text('tsconfig.json')) as { references: { path: string }[] };
    const paths = config.references.map((reference) => reference.path);
    for (const room of Object.values(rooms)) expect(paths).toContain(room.path);
  });
});

/** The day a probe passes, the wall is down: one stray import of node types switches it off in silence. */
describe('the wall of the pure packages', () => {
  it('refuses node and browser names at compile time', () => {
    const { code, output } = tool('node_modules/typescript/bin/tsc', [
      '-p',
      'test/probe/tsconfig.json',
      '--pretty',
      'false',
    ]);
    expect(code).not.toBe(0);
    for (const name of [
      'node:fs',
      'Buffer',
      'process',
      'setTimeout',
      'fetch',
      'crypto',
      'performance',
      'TextEncoder',
    ]) {
      expect(output).toMatch(new RegExp(`impure\\.ts\\(\\d+,\\d+\\): error TS\\d+: Cannot find .*'${name}'`));
    }
  });

  it('is the same wall that a pure package really has', () => {
    const probe = JSON.parse(text('test/probe/tsconfig.json')) as { extends: string; compilerOptions: object };
    expect(probe.extends).toBe('../../tsconfig.base.json');
    expect(Object.keys(probe.compilerOptions).sort()).toEqual([
      'composite',
      'declaration',
      'noEmit',
      'rewriteRelativeImportExtensions',
    ]);
    for (const [name, room] of Object.entries(rooms).filter(([, { pure }]) => pure)) {
      const { output } = tool('node_modules/typescript/bin/tsc', ['-p', room.path, '--noEmit', '--listFilesOnly']);
      expect(output).toContain('lib.es2023.d.ts');
      const foreign = output.split('\n').filter((file) => /@types\/|lib\.dom|lib\.webworker|undici-types/.test(file));
      expect([name, foreign]).toEqual([name, []]);
    }
  });

  it('refuses what the compiler cannot: the language’s own clock, dice, locale and promises', () => {
    const { code, output } = tool('node_modules/oxlint/bin/oxlint', ['--format=unix', 'test/probe']);
    expect(code).not.toBe(0);
    const refused = (file: string): number[] => {
      const lines = [...output.matchAll(new RegExp(`${file}:(\\d+):`, 'g'))].map((match) => Number(match[1]));
      return [...new Set(lines)].sort((a, b) => a - b);
    };
    const marked = (file: string): number[] =>
      text(`test/probe/${file}`)
        .split('\n')
        .flatMap((line, index) => (/^(export|import) /.test(line) ? [index + 1] : []));
    const quiet = (file: string): number[] => marked(file).filter((line) => !refused(file).includes(line));
    expect(quiet('impure-lint.ts')).toEqual([]);
    expect(quiet('impure.ts')).toEqual([]);
  });

  it('stands around every pure room: the linter reads the probe as if it lay there', () => {
    const { overrides } = JSON.parse(text('.oxlintrc.json')) as {
      overrides: { files: string[]; rules: Record<string, unknown> }[];
    };
    const pure = overrides.find((override) => 'no-restricted-globals' in override.rules)?.files ?? [];
    for (const room of Object.values(rooms).filter((r) => r.pure)) expect(pure).toContain(`${room.path}/src/**`);
  });
});
