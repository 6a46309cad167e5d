import picocolors from 'picocolors';

/**
 * Where a command writes. Results go to stdout, everything else (progress, hints, logs) to stderr, so that
 * `--json` leaves exactly one document on stdout. Colours only on a terminal, and never with NO_COLOR.
 */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** True when a person looks at stderr: a progress line may be drawn over itself. */
  readonly interactive: boolean;
  /** Columns of the terminal on stdout; 100 when there is none. */
  readonly width: number;
  readonly colors: Colors;
}

export type Colors = ReturnType<typeof picocolors.createColors>;

export function processTerminal(): Terminal {
  const noColor = (process.env['NO_COLOR'] ?? '') !== '';
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    interactive: process.stderr.isTTY === true,
    width: process.stdout.columns ?? 100,
    colors: picocolors.createColors(process.stdout.isTTY === true && !noColor && process.env['TERM'] !== 'dumb'),
  };
}

export const line = (write: (text: string) => void, text = ''): void => write(`${text}\n`);
