import type { Journal } from '@kimberlite/host';
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import type { LogLevel } from './config.ts';

export interface JournalOptions {
  readonly level: LogLevel;
  readonly replica: number;
  /** Where the replica stands, for every line; undefined before it has booted. */
  readonly standing: () => { readonly view: number; readonly op: number } | undefined;
  /** Default: stderr, written synchronously, so that the last words of a process are not lost. */
  readonly to?: DestinationStream;
}

/** JSON lines with `replica`, `view` and `op` on each. */
export function createJournal(options: JournalOptions): Journal {
  const logger = createLogger(options);
  return { write: (level, message, fields) => logger[level](fields, message) };
}

function createLogger({ level, replica, standing, to }: JournalOptions): Logger {
  const settings = {
    level,
    base: { replica },
    timestamp: (): string => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    // A line's own view and op win: they are of the moment it speaks about.
    mixin: () => {
      const now = standing();
      return now === undefined ? {} : { view: now.view, op: now.op };
    },
  };
  if (to !== undefined) return pino(settings, to);
  const stderr = destination({ fd: 2, sync: true });
  // Whoever read the log has gone: no reason to stop a replica.
  stderr.on('error', () => {});
  return pino(settings, stderr);
}
