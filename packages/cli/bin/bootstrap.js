#!/usr/bin/env node
// Stands behind `npm start`, `npm test` and `npm run build` on a machine that has Node and npm and nothing else.
// Only node's own modules here: nothing is installed yet when this runs.
import { runTests } from './run-tests.js';
import { currentStamp, pendingWork, readStamp, writeStamp } from './stamp.js';
import { BootstrapError, npmEnvironment, pnpmVersion, root, run } from './tools.js';

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new BootstrapError(
    `Kimberlite needs Node 20.19 or later; this is ${process.versions.node} (${process.execPath}).`,
    'Install a current Node from https://nodejs.org and run the same command again.',
  );
}

function install(is) {
  note(`installing what is missing (pnpm ${pnpmVersion}, first run only; needs the network) …`);
  // Without a terminal pnpm would otherwise refuse to replace a node_modules of another shape.
  const flags = ['--frozen-lockfile', '--reporter=append-only', '--config.confirmModulesPurge=false'];
  const code = run('npx', ['--yes', `pnpm@${pnpmVersion}`, 'install', ...flags], { env: npmEnvironment() });
  if (code === 0) {
    // Written down at once: a build that fails is no reason to install again.
    writeStamp(root, { install: is.install, build: '' });
    return;
  }
  throw new BootstrapError(
    `Installing the dependencies failed (npx pnpm@${pnpmVersion} install ended with ${code}); the reason is above.`,
    'The first start and every change of the lockfile need the npm registry. Check the connection\n' +
      '(`npm ping`; behind a proxy set HTTPS_PROXY, with a mirror set npm_config_registry) and run the command again.',
  );
}

function build() {
  requireNode();
  const is = currentStamp(root);
  const pending = pendingWork(root, readStamp(root), is);
  if (pending.install) install(is);
  if (!pending.build) return;
  note('building …');
  const code = run(process.execPath, ['node_modules/typescript/bin/tsc', '-b'], {});
  // The page a failed run of the simulator leaves behind has one script in it, which is bundled once, here.
  const bundled = code === 0 ? run(process.execPath, ['sim/bin/build-page.js'], {}) : code;
  if (bundled !== 0) {
    throw new BootstrapError(
      'The sources do not compile; the errors are above.',
      'Correct them and run the command again.',
    );
  }
  // The stamp of before the build: a file that was saved meanwhile is built next time.
  writeStamp(root, is);
}

function note(line) {
  process.stderr.write(`kimberlite: ${line}\n`);
}

async function main(verb, rest) {
  switch (verb) {
    case 'build':
      build();
      return 0;
    case 'test':
      return runTests(rest);
    default:
      throw new BootstrapError(
        `Unknown step ${verb ?? '(none)'}.`,
        'Use: node packages/cli/bin/bootstrap.js build|test',
      );
  }
}

try {
  process.exitCode = await main(process.argv[2], process.argv.slice(3));
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  process.stderr.write(`\nkimberlite: ${error.message}\n${error.fix}\n`);
  process.exitCode = 1;
}
