import type { ReplicaSummary } from '../src/report/run-event.ts';
import { byId, durationText, element, timeText } from './format.ts';
import { type Model, type PageEvent, phaseAt } from './model.ts';

/** Rows of the list of events on each side of the selected one. */
const listedRows = 60;

const kindTexts: { readonly [Kind in PageEvent['kind']]: string } = {
  sent: 'message',
  received: 'message arrives',
  'disk-started': 'disk call',
  'disk-done': 'disk call done',
  'disk-failed': 'disk call failed',
  synced: 'synced to disk',
  timer: 'timer fires',
  turn: 'turn',
  booted: 'power',
  opened: 'power',
  paused: 'power',
  down: 'power',
  executed: 'executes',
  called: 'call',
  returned: 'return',
  connection: 'connection',
  fault: 'fault',
  journal: 'journal',
  note: 'note',
  failure: 'failure',
};

const laneName = (model: Model, lane: number): string => model.lanes[lane] ?? 'everybody';

function facts(pairs: readonly (readonly [string, string])[]): HTMLElement {
  const list = element('dl', {});
  for (const [name, value] of pairs) {
    if (value !== '') list.append(element('dt', {}, name), element('dd', {}, value));
  }
  return list;
}

function messageFacts(model: Model, event: PageEvent): readonly (readonly [string, string])[] {
  const { message } = event;
  if (message === null) return [];
  const { from, to, sentRow, arrivalRows, bytes, detail } = message;
  const sent = model.events[sentRow];
  const arrivals = arrivalRows.map((row) => {
    const at = model.events[row]?.atUs ?? 0;
    return sent === undefined ? timeText(at) : `${timeText(at)} (after ${durationText(at - sent.atUs)})`;
  });
  return [
    ['from', laneName(model, from)],
    ['to', laneName(model, to)],
    ['sent', sent === undefined ? '' : timeText(sent.atUs)],
    ['arrives', arrivals.length === 0 ? 'never' : arrivals.join(', ')],
    ['size', bytes === 0 ? '' : `${bytes} B`],
    ['says', detail],
  ];
}

const stateNames: readonly (readonly [keyof ReplicaSummary, string])[] = [
  ['status', 'status'],
  ['isPrimary', 'primary'],
  ['view', 'view'],
  ['logView', 'log view'],
  ['durableView', 'durable view'],
  ['durableLogView', 'durable log view'],
  ['head', 'head'],
  ['commit', 'commit'],
  ['applied', 'applied'],
  ['checkpoint', 'checkpoint'],
  ['stateHash', 'state'],
];

const cell = (state: ReplicaSummary, name: keyof ReplicaSummary): string => {
  const value = state[name];
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return name === 'stateHash' ? String(value).slice(0, 8) : String(value);
};

/** What a turn changed, as `head 3 → 4`. */
function changesOf(model: Model, event: PageEvent): string {
  const { state } = event;
  const before = phaseAt(model.phases[event.lane] ?? [], event.row - 1)?.state ?? null;
  if (state === null) return '';
  return stateNames
    .filter(([name]) => before === null || before[name] !== state[name])
    .map(([name, text]) => `${text} ${before === null ? '' : `${cell(before, name)} → `}${cell(state, name)}`)
    .join(', ');
}

export function showDetails(model: Model, row: number): void {
  const event = model.events[row];
  if (event === undefined) return;
  const { kind, atUs, lane, text, message, state, number } = event;
  const isFailure = kind === 'failure';
  byId('details').replaceChildren(
    element('h3', isFailure ? { class: 'bad' } : {}, text),
    facts([
      ['what', kindTexts[kind]],
      ['at', `${timeText(atUs)} s`],
      ['who', message === null && lane >= 0 ? laneName(model, lane) : ''],
      ['lasts', kind === 'fault' && number > 0 ? durationText(number) : ''],
      ...messageFacts(model, event),
      ['changes', state === null ? '' : changesOf(model, event)],
    ]),
  );
}

/** Every replica as it was after the selected event; what that event changed stands out. */
export function showStates(model: Model, row: number): void {
  byId('states-at').textContent = `${timeText(model.events[row]?.atUs ?? 0)} s`;
  const head = element('tr', {}, element('th', { scope: 'col' }, ''));
  model.phases.forEach((_, replica) => head.append(element('th', { scope: 'col' }, `replica ${replica}`)));
  const power = element('tr', {}, element('th', { scope: 'row' }, 'power'));
  for (const phases of model.phases) {
    const now = phaseAt(phases, row)?.power ?? 'down';
    power.append(element('td', now === 'down' ? { class: 'bad' } : {}, now));
  }
  const rows = stateNames.map(([name, text]) => {
    const line = element('tr', {}, element('th', { scope: 'row' }, text));
    for (const phases of model.phases) {
      const now = phaseAt(phases, row)?.state ?? null;
      const before = phaseAt(phases, row - 1)?.state ?? null;
      const isNew = now !== null && (before === null || before[name] !== now[name]);
      line.append(element('td', isNew ? { class: 'new' } : {}, now === null ? '–' : cell(now, name)));
    }
    return line;
  });
  byId('states').replaceChildren(element('thead', {}, head), element('tbody', {}, power, ...rows));
}

/** The events around the selected one as text, for those who read rather than look. */
export function showList(model: Model, row: number, select: (row: number) => void): void {
  const list = byId('list');
  const first = Math.max(0, row - listedRows);
  const last = Math.min(model.events.length, row + listedRows + 1);
  const items = model.events.slice(first, last).map((event) => {
    const who =
      event.message === null
        ? laneName(model, event.lane)
        : `${laneName(model, event.message.from)} → ${laneName(model, event.message.to)}`;
    const isSelected = event.row === row;
    const button = element(
      'button',
      {
        type: 'button',
        ...(isSelected ? { 'aria-current': 'true' } : {}),
        class: event.kind === 'failure' ? 'bad' : '',
      },
      element('span', { class: 'time' }, timeText(event.atUs)),
      element('span', { class: 'quiet' }, ` ${kindTexts[event.kind]} `),
      `${who}: ${event.text}`,
    );
    button.addEventListener('click', () => select(event.row));
    return element('li', {}, button);
  });
  list.replaceChildren(...items);
  const current = items[row - first];
  // Only the list itself scrolls, never the page around it.
  if (current !== undefined) list.scrollTop = current.offsetTop - list.clientHeight / 2;
}
