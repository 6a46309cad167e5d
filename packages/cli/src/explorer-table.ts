import type { ConvergenceReport, WalkReport, WorldReport } from '@kimberlite/sim';
import { table } from './rows-table.ts';
import { line, type Terminal } from './terminal.ts';

export type ExplorerReport = WorldReport | ConvergenceReport | WalkReport;

const grouped = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
const perSecond = (states: number, seconds: number): string => grouped(Math.round(states / Math.max(seconds, 0.001)));

interface Row {
  readonly head: readonly string[];
  readonly cells: readonly string[];
}

/** One row a world; then what was expected in it and not seen. */
export function printReports(terminal: Terminal, reports: readonly ExplorerReport[]): void {
  const rows = reports.map((report) => rowOf(terminal, report));
  const [first] = rows;
  if (first === undefined) return;
  const cells = rows.map((row) => row.cells);
  line(terminal.out, table(terminal, first.head, cells));
  for (const { world, missing, ok } of reports) {
    if (!ok && missing.length > 0) line(terminal.out, `${world.name}: never seen: ${missing.join('; ')}`);
  }
}

function rowOf(terminal: Terminal, report: ExplorerReport): Row {
  if ('finished' in report) return worldRow(terminal, report);
  return 'converged' in report ? convergenceRow(terminal, report) : walkRow(terminal, report);
}

function worldRow({ colors }: Terminal, report: WorldReport): Row {
  const { states, transitions, depth, localStates, seconds, statesPerSecond, violation, finished, missing } = report;
  let result = finished ? colors.green('every state') : 'stopped';
  if (finished && missing.length > 0) result = colors.red('hollow');
  if (violation !== null) result = colors.red(violation.property);
  const numbers = [states, transitions, depth, localStates].map(grouped);
  return {
    head: ['world', 'states', 'transitions', 'depth', 'local states', 'seconds', 'states/s', 'result'],
    cells: [report.world.name, ...numbers, seconds.toFixed(1), grouped(statesPerSecond), result],
  };
}

function convergenceRow({ colors }: Terminal, report: ConvergenceReport): Row {
  const { states, settled, seconds, violation, converged } = report;
  let result = converged ? colors.green('always') : 'stopped';
  if (violation !== null) result = colors.red(violation.property);
  return {
    head: ['world', 'states', 'in agreement', 'seconds', 'states/s', 'can agree again'],
    cells: [
      report.world.name,
      ...[states, settled].map(grouped),
      seconds.toFixed(1),
      perSecond(states, seconds),
      result,
    ],
  };
}

function walkRow({ colors }: Terminal, report: WalkReport): Row {
  const { walks, steps, deepest, states, seconds, violation } = report;
  return {
    head: ['world', 'walks', 'steps', 'deepest', 'states', 'seconds', 'states/s', 'result'],
    cells: [
      report.world.name,
      ...[walks, steps, deepest, states].map(grouped),
      seconds.toFixed(1),
      perSecond(states, seconds),
      violation === null ? colors.green('no violation') : colors.red(violation.property),
    ],
  };
}
