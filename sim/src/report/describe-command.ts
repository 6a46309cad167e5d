import { markerOf } from '../checkers/calls.ts';

interface Named {
  readonly type?: unknown;
  readonly table?: unknown;
  readonly row?: { readonly id?: unknown };
  readonly key?: { readonly id?: unknown };
}

const word = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : null;

/** `Upsert rows/3 c1-17`: the type, the row, and what tells it from every other command. */
export function describeCommand(command: unknown): string {
  if (typeof command !== 'object' || command === null) return 'no command';
  const { type, table, row, key }: Named = command;
  const place = [word(table), word(row?.id ?? key?.id)].filter((part) => part !== null).join('/');
  return [word(type) ?? 'unnamed command', place, markerOf(command) ?? ''].filter((part) => part !== '').join(' ');
}
