import type { Group } from './model.ts';

/** Colours of the style sheet, read once for each scheme: a canvas knows nothing of variables. */
export interface Palette {
  readonly ink: string;
  readonly quiet: string;
  readonly paper: string;
  readonly line: string;
  readonly panel: string;
  readonly bad: string;
  readonly select: string;
  /** By view, taken in turn. */
  readonly views: readonly string[];
  readonly groups: ReadonlyMap<Group, string>;
}

const groupVariables: readonly (readonly [Group, string])[] = [
  ['prepare', '--prepare'],
  ['ack', '--ack'],
  ['heartbeat', '--faint'],
  ['clock', '--faint'],
  ['view-change', '--view-change'],
  ['repair', '--repair'],
  ['request', '--request'],
  ['query', '--query'],
  ['reply', '--reply'],
  ['session', '--faint'],
  ['damaged', '--bad'],
];

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  return {
    ink: colour('--ink'),
    quiet: colour('--quiet'),
    paper: colour('--paper'),
    line: colour('--line'),
    panel: colour('--panel'),
    bad: colour('--bad'),
    select: colour('--select'),
    views: Array.from({ length: 8 }, (_, index) => colour(`--view-${index}`)),
    groups: new Map(groupVariables.map(([group, name]) => [group, colour(name)])),
  };
}

export const viewColour = (palette: Palette, view: number): string =>
  palette.views[view % palette.views.length] ?? palette.quiet;
