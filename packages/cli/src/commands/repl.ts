import type { Command } from 'commander';
import { type Context, endpointsOf, examples, wholeNumber } from '../context.ts';
import { endpointsHelp } from '../endpoints.ts';
import { runRepl } from '../repl/prompt.ts';

export function addRepl(program: Command, context: Context): void {
  const command = program
    .command('repl')
    .summary('an interactive prompt')
    .description('A prompt with completion and history: JSON commands and queries, and short forms (type help).')
    .option('--endpoints <list>', endpointsHelp)
    .option('--tenant <n>', 'work in this tenant, as after `use`', wholeNumber('--tenant', 1, Number.MAX_SAFE_INTEGER))
    .action(async (options: { endpoints?: string; tenant?: number }) => {
      process.exitCode = await runRepl(context, endpointsOf(context, options), options.tenant ?? null);
    });
  examples(command, [
    ['the local dev cluster', 'kimberlite repl'],
    ['statements from a file, one a line', 'kimberlite repl --tenant 1 < statements.txt'],
  ]);
}
