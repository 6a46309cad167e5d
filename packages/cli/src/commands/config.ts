import { loadConfig, explainProblems } from '@kimberlite/node';
import type { Command } from 'commander';
import { type Context, examples, printJson, withJson } from '../context.ts';
import { line } from '../terminal.ts';

export function addConfig(program: Command, context: Context): void {
  const config = program.command('config').summary('check a configuration').description('About configuration files.');
  const check = withJson(config.command('check'))
    .summary('validate a configuration file')
    .description('Validates a configuration file and says, for each problem, what to change.')
    .argument('<file>', 'YAML or JSON')
    .action((file: string, options: { json?: boolean }) => {
      const loaded = loadConfig({ file });
      const problems = loaded.ok ? loaded.value.warnings : loaded.error;
      if (options.json === true) {
        const summary = { code: 'ConfigInvalid', message: `${file} has ${problems.length} problem(s).` };
        printJson(context, loaded.ok ? { ok: true, problems } : { ok: false, error: summary, problems });
      } else {
        if (problems.length > 0)
          line(loaded.ok ? context.terminal.out : context.terminal.err, explainProblems(problems));
        if (loaded.ok) line(context.terminal.out, `${file} is a valid configuration.`);
      }
      process.exitCode = loaded.ok ? 0 : 1;
    });
  examples(check, [['before a deployment', 'kimberlite config check node-0.yaml']]);
}
