import { Command, CommanderError } from 'commander';
import { type Context, printJson } from './context.ts';
import { exitCodeOf, reportOf, UsageFailure } from './failure.ts';
import { line } from './terminal.ts';
import { version } from './version.ts';

type Add = (program: Command, context: Context) => void;

interface Entry {
  readonly name: string;
  readonly summary: string;
  /** Only the command that is used is loaded: `status` need not wait for the simulator to be read. */
  readonly load: () => Promise<Add>;
}

const groups: readonly { readonly title: string; readonly entries: readonly Entry[] }[] = [
  {
    title: 'Run a cluster:',
    entries: [
      {
        name: 'dev',
        summary: 'a local cluster in one terminal',
        load: async () => (await import('./commands/dev.ts')).addDev,
      },
      { name: 'start', summary: 'one node', load: async () => (await import('./commands/start.ts')).addStart },
      {
        name: 'format',
        summary: 'prepare a data directory, once',
        load: async () => (await import('./commands/format.ts')).addFormat,
      },
      {
        name: 'config',
        summary: 'check a configuration file',
        load: async () => (await import('./commands/config.ts')).addConfig,
      },
    ],
  },
  {
    title: 'Use it:',
    entries: [
      {
        name: 'status',
        summary: 'a row a node, and how many more may be lost',
        load: async () => (await import('./commands/status.ts')).addStatus,
      },
      {
        name: 'exec',
        summary: 'submit a command, or an array of them in order',
        load: async () => (await import('./commands/exec.ts')).addExec,
      },
      {
        name: 'query',
        summary: 'read rows of a table',
        load: async () => (await import('./commands/query.ts')).addQuery,
      },
      {
        name: 'tables',
        summary: 'the tables there are',
        load: async () => (await import('./commands/tables.ts')).addTables,
      },
      {
        name: 'describe',
        summary: 'columns, primary key and indexes of a table',
        load: async () => (await import('./commands/tables.ts')).addDescribe,
      },
      {
        name: 'repl',
        summary: 'an interactive prompt',
        load: async () => (await import('./commands/repl.ts')).addRepl,
      },
    ],
  },
  {
    title: 'Look closer:',
    entries: [
      {
        name: 'bench',
        summary: 'load, then throughput and latency percentiles',
        load: async () => (await import('./commands/bench.ts')).addBench,
      },
      {
        name: 'drill',
        summary: 'practise failover on a cluster of its own',
        load: async () => (await import('./commands/drill.ts')).addDrill,
      },
      {
        name: 'transfer',
        summary: 'make another node the primary',
        load: async () => (await import('./commands/transfer.ts')).addTransfer,
      },
      {
        name: 'member',
        summary: 'who belongs to the cluster: list, add, promote, replace, remove',
        load: async () => (await import('./commands/member.ts')).addMember,
      },
      {
        name: 'recover',
        summary: 'give an empty machine the place of a lost one',
        load: async () => (await import('./commands/recover.ts')).addRecover,
      },
      {
        name: 'backup',
        summary: 'copy the data of a node, also while it runs',
        load: async () => (await import('./commands/backup.ts')).addBackup,
      },
      {
        name: 'restore',
        summary: 'begin a new cluster with a backup',
        load: async () => (await import('./commands/restore.ts')).addRestore,
      },
      {
        name: 'inspect',
        summary: 'look into a data directory',
        load: async () => (await import('./commands/inspect.ts')).addInspect,
      },
      {
        name: 'verify',
        summary: 'check a data directory, byte by byte',
        load: async () => (await import('./commands/verify.ts')).addVerify,
      },
      {
        name: 'sim',
        summary: 'the deterministic simulator',
        load: async () => (await import('./commands/sim.ts')).addSim,
      },
    ],
  },
];

/** The name of the command that is meant, or undefined: also behind `help`. */
const namedIn = (argv: readonly string[]): string | undefined => (argv[0] === 'help' ? argv[1] : argv[0]);

/** The whole list, with the one command `argv` names in full. */
export async function buildProgram(context: Context, argv: readonly string[]): Promise<Command> {
  const program = new Command('kimberlite')
    .description('A replicated, multi-tenant table store.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'how to use it')
    .helpCommand('help [command]', 'how to use a command')
    .showSuggestionAfterError(true);
  const named = namedIn(argv);
  for (const { title, entries } of groups) {
    program.commandsGroup(title);
    for (const { name, summary, load } of entries) {
      if (name === named) (await load())(program, context);
      else program.command(name).summary(summary);
    }
  }
  program.commandsGroup('');
  program.addHelpText('after', startHere);
  settle(program, context);
  return program;
}

const startHere = `
Start here:
  $ kimberlite dev                     a cluster of three nodes in this terminal
  $ kimberlite status                  in another one: how it is
  $ kimberlite exec --help             how to write to it

Exit codes: 0 done, 1 the operation failed, 2 wrong usage.
`;

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
    const program = await buildProgram(context, argv);
    if (argv.length === 0)
      throw new UsageFailure(`Say what to do, as in: kimberlite dev\n\n${program.helpInformation()}`);
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    process.exitCode = explain(error, context, json);
  }
  return Number(process.exitCode);
}

const seeHelp = '`kimberlite --help` and `kimberlite <command> --help` show what there is.';

function explain(thrown: unknown, context: Context, json: boolean): number {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
  // A command that only has commands below it: its help has been printed.
  if (thrown instanceof CommanderError && thrown.code === 'commander.help' && !json) return 2;
  const error =
    thrown instanceof CommanderError
      ? new UsageFailure(`${thrown.message.replace(/^error: /, '')}\n${seeHelp}`)
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
