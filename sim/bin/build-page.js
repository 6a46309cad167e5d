// Bundles the script and the style sheet of the report page. `kimberlite sim` puts both into the file it writes, so
// that the file needs nothing beside it.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  entryPoints: [here('../page/main.ts'), here('../page/page.css')],
  outdir: here('../dist/report-page'),
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['es2022', 'chrome111', 'firefox113', 'safari16.4'],
  charset: 'utf8',
  logLevel: 'warning',
});
