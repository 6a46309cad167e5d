// What the installed packages and the built output were made from, as two digests. When they equal the ones
// written down after the last build there is nothing to do, and a second start needs neither network nor time.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const stampFile = 'node_modules/.kimberlite-stamp';
/** Without these the stamp is not believed, whatever it says: somebody removed the output. */
const outputs = ['packages/cli/dist/index.js', 'packages/client/dist/index.js', 'sim/dist/report-page/main.js'];
const skipped = new Set(['node_modules', 'dist', 'test', 'coverage', '.git', '.kimberlite']);

/** Relative paths below `from`, in one order on every file system. */
function walk(root, from, found) {
  const entries = readdirSync(join(root, from), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = from === '' ? entry.name : `${from}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!skipped.has(entry.name)) walk(root, path, found);
    } else found.push(path);
  }
  return found;
}

function workspaceFiles(root) {
  const files = readdirSync(root).filter((name) => /^(package\.json|pnpm-.*\.yaml|tsconfig.*\.json)$/.test(name));
  for (const room of ['packages', 'sim', 'test']) {
    if (existsSync(join(root, room))) walk(root, room, files);
  }
  // `test` itself is a package (its manifest and src count); the `test` folders of packages are not built.
  return files.sort();
}

function digest(root, files) {
  const hash = createHash('sha256');
  for (const file of files) {
    const bytes = readFileSync(join(root, file));
    hash.update(`${file}\n${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

/** `install`: the manifests and the lockfile. `build`: those, the sources and the compiler's settings. */
export function currentStamp(root) {
  const files = workspaceFiles(root);
  const manifests = files.filter((file) => /(^|\/)package\.json$|(^|\/)pnpm-.*\.yaml$/.test(file));
  const sources = files.filter((file) =>
    /(^|\/)tsconfig[^/]*\.json$|\.(ts|tsx|mts|cts|js|mjs|json|html|css)$/.test(file),
  );
  const install = digest(root, manifests);
  return { install, build: `${install}-${digest(root, sources)}-${process.versions.node.split('.')[0]}` };
}

export function readStamp(root) {
  try {
    const { install, build } = JSON.parse(readFileSync(join(root, stampFile), 'utf8'));
    return { install, build };
  } catch {
    return { install: '', build: '' };
  }
}

export function writeStamp(root, stamp) {
  const path = join(root, stampFile);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(stamp)}\n`);
}

/** What is left to do, in words a person can check against the messages. */
export function pendingWork(root, was, is) {
  const installed = was.install === is.install && existsSync(join(root, 'node_modules/.bin/tsc'));
  const built = installed && was.build === is.build && outputs.every((file) => existsSync(join(root, file)));
  return { install: !installed, build: !built };
}
