import CliTable from 'cli-table3';
import type { Terminal } from './terminal.ts';

/** Rows shown as a table: a column for every name that occurs, in order of appearance. */
export function rowsTable(terminal: Terminal, rows: readonly Readonly<Record<string, unknown>>[]): string {
  const names: string[] = [];
  for (const row of rows) for (const name of Object.keys(row)) if (!names.includes(name)) names.push(name);
  return table(
    terminal,
    names,
    rows.map((row) => names.map((name) => shown(row[name]))),
  );
}

export function table(terminal: Terminal, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const { bold } = terminal.colors;
  const grid = new CliTable({
    head: head.map((name) => bold(name)),
    // The library's own colours ignore NO_COLOR; ours are in the texts.
    style: { head: [], border: [], compact: true },
    chars: plainLines,
  });
  for (const row of rows) grid.push([...row]);
  return grid.toString();
}

const plainLines = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' ',
};

/** A control character in a value must not move the cursor. */
const printable = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);

function shown(value: unknown): string {
  if (value === undefined) return '';
  if (value === null) return 'null';
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}
