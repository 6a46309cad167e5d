import type { ReportData } from '../src/report/report-data.ts';
import { addFilter, firstFilter } from './controls.ts';
import { Diagram } from './diagram.ts';
import { byId, element } from './format.ts';
import { decodeReport, type Model } from './model.ts';
import { showDetails, showList, showStates } from './panels.ts';
import { RegisterPicture } from './register.ts';

/** Written by the same program that wrote this script, into the same file. */
function readData(): ReportData {
  return JSON.parse(byId('run').textContent ?? '') as ReportData;
}

function showHead(model: Model): void {
  const { data } = model;
  byId('facts').replaceChildren(
    ...data.facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
  byId('copy').addEventListener('click', () => {
    const done = (text: string): void => {
      byId('copied').textContent = text;
    };
    navigator.clipboard.writeText(data.replay).then(
      () => done('copied'),
      () => done('select the command and copy it'),
    );
  });
}

function start(): void {
  const model = decodeReport(readData());
  const { data } = model;
  showHead(model);
  const picture = new RegisterPicture(data, (id) => {
    const rows = model.callRows.get(id);
    if (rows !== undefined) diagram.select(rows.returned >= 0 ? rows.returned : rows.called);
  });
  const selectedChanged = (row: number): void => {
    showDetails(model, row);
    showStates(model, row);
    showList(model, row, (other) => diagram.select(other));
    picture.mark(model.events[row]?.atUs ?? 0);
  };
  const count = (): void => {
    const omitted = data.omitted === 0 ? '' : `, ${data.omitted} earlier ones are not in this page`;
    byId('count').textContent = `${diagram.shownCount} of ${model.events.length} events shown${omitted}`;
  };
  const diagram: Diagram = new Diagram({ model, box: byId('diagram'), filter: firstFilter, selectedChanged });
  addFilter(model, (filter) => {
    diagram.show(filter);
    count();
  });
  for (const [id, act] of [
    ['zoom-in', () => diagram.zoomBy(1.5)],
    ['zoom-out', () => diagram.zoomBy(1 / 1.5)],
    ['to-failure', () => diagram.select(data.focusRow)],
    ['previous', () => diagram.move(-1)],
    ['next', () => diagram.move(1)],
  ] as const) {
    byId(id).addEventListener('click', act);
  }
  byId('diagram').addEventListener('keydown', (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    diagram.move(by);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => diagram.recolour());
  window.addEventListener('resize', () => picture.draw());
  // A run may fail before anybody has called.
  byId('calls').hidden = data.calls.length === 0;
  count();
  diagram.select(data.focusRow);
}

start();
