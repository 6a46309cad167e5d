import { Command, CommanderError } from 'commander';
import { addBench } from './commands/bench.ts';
import { addConfig } from './commands/config.ts';
import { addDev } from './commands/dev.ts';
import { addExec } from './commands/exec.ts';
import { addFormat } from './commands/format.ts';
import { addInspect } from './commands/inspect.ts';
import { addQuery } from './commands/query.ts';
import { addRepl } from './commands/repl.ts';
import { addSim } from './commands/sim.ts';
import { addStart } from './commands/start.ts';
import { addStatus } from './commands/status.ts';
import { addDescribe, addTables } from './commands/tables.ts';
import { addVerify } from './commands/verify.ts';
import { type Context, printJson } from './context.ts';
import { exitCodeOf, reportOf, UsageFailure } from './failure.ts';
import { line } from './terminal.ts';
import { version } from './version.ts';

export function buildProgram(context: Context): Command {
  const program = new Command('kimberlite')
    .description('A replicated, multi-tenant table store.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'how to use it')
    .helpCommand('help [command]', 'how to use a command')
    .showSuggestionAfterError(true)
    .configureHelp({ sortSubcommands: false, sortOptions: false });
  program.commandsGroup('Run a cluster:');
  addDev(program, context);
  addStart(program, context);
  addFormat(program, context);
  addConfig(program, context);
  program.commandsGroup('Use it:');
  addStatus(program, context);
  addExec(program, context);
  addQuery(program, context);
  addTables(program, context);
  addDescribe(program, context);
  addRepl(program, context);
  program.commandsGroup('Look closer:');
  addBench(program, context);
  addInspect(program, context);
  addVerify(program, context);
  addSim(program, context);
  program.addHelpText(
    'after',
    `
Start here:
  $ kimberlite dev                     a cluster of three nodes in this terminal
  $ kimberlite status                  in another one: how it is
  $ kimberlite exec --help             how to write to it

Exit codes: 0 done, 1 the operation failed, 2 wrong usage.
`,
  );
  settle(program, context);
  return program;
}

/** Errors are thrown, not exited with, for every command at every depth; texts go where ours go. */
function settle(command: Command, context: Context): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => context.terminal.out(text),
    writeErr: (text) => context.terminal.err(text),
    outputError: () => undefined,
    getOutHasColors: () => context.terminal.colors.isColorSupported,
    getErrHasColors: () => context.terminal.colors.isColorSupported,
  });
  for (const child of command.commands) settle(child, context);
}

/** Runs one command line. Sets and returns the exit code. */
export async function runCli(argv: readonly string[], context: Context): Promise<number> {
  const json = argv.includes('--json');
  try {
    process.exitCode = 0;
    if (argv.length === 0)
      throw new UsageFailure(`Say what to do, as in: kimberlite dev\n\n${buildProgram(context).helpInformation()}`);
    await buildProgram(context).parseAsync([...argv], { from: 'user' });
  } catch (error) {
    process.exitCode = explain(error, context, json);
  }
  return Number(process.exitCode);
}

function explain(thrown: unknown, context: Context, json: boolean): number {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
  const error =
    thrown instanceof CommanderError
      ? new UsageFailure(
          `${thrown.message.replace(/^error: /, '')}\n\`kimberlite --help\` and \`kimberlite <command> --help\` show what there is.`,
        )
      : thrown;
  const report = reportOf(error);
  if (json) printJson(context, { ok: false, error: report });
  const { colors } = context.terminal;
  line(context.terminal.err, `${colors.red('error:')} ${report.message}`);
  // Only a bug of ours has a stack worth showing.
  if (report.code === 'Unexpected' && typeof report['at'] === 'string')
    line(context.terminal.err, colors.dim(report['at']));
  return exitCodeOf(error);
}
