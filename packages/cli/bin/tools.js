// Running other programs from the bootstrap.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Kept equal to `packageManager` in package.json by a test. pnpm 11 would need Node 22. */
export const pnpmVersion = '10.34.9';
export const root = fileURLToPath(new URL('../../../', import.meta.url)).replace(/[\\/]$/, '');

/** A failure a person can do something about: what happened, and the fix. */
export class BootstrapError extends Error {
  constructor(message, fix) {
    super(message);
    this.fix = fix;
  }
}

/** Runs to the end with the terminal's own streams; stdout goes to stderr when `quietStdout`. */
export function run(command, args, { env = process.env }) {
  const windows = process.platform === 'win32';
  const result = spawnSync(command, args, { cwd: root, env, stdio: 'inherit', shell: windows && command === 'npx' });
  if (result.error !== undefined) {
    throw new BootstrapError(
      `Cannot run ${command}: ${result.error.message}.`,
      'npm comes with Node; is it on the PATH?',
    );
  }
  if (result.signal !== null) return 128;
  return result.status ?? 1;
}

/** Settings of npm that mean the same to pnpm and that somebody may need to reach a registry. */
const kept =
  /^npm_config_(registry|.*proxy|noproxy|ca|cafile|strict_ssl|cache|userconfig|globalconfig|offline|prefer_offline|fetch_.*|\/\/.*|@.*)$/i;

/**
 * The environment without what npm adds to it for the script it runs (prefix, lifecycle, user agent …): pnpm
 * would take those for its own configuration. And with a home it can write to.
 */
export function npmEnvironment(env = process.env) {
  const clean = {};
  for (const [name, value] of Object.entries(env)) {
    if (!/^npm_/i.test(name) || kept.test(name)) clean[name] = value;
  }
  clean.npm_config_update_notifier = 'false';
  delete clean.NODE_ENV; // `production` would leave out the compiler.
  if (!writableHome(clean)) {
    const home = join(root, 'node_modules', '.kimberlite-home');
    mkdirSync(home, { recursive: true });
    clean.HOME = home;
    delete clean.npm_config_cache;
  }
  return clean;
}

function writableHome(env) {
  const home = env.HOME ?? env.USERPROFILE ?? homedir();
  try {
    accessSync(home, constants.W_OK);
    return statSync(home).isDirectory();
  } catch {
    return false;
  }
}
