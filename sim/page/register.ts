import type { RegisterChange, ReportCall, ReportData } from '../src/report/report-data.ts';
import { byId, durationText, timeText } from './format.ts';

const svgNamespace = 'http://www.w3.org/2000/svg';
const namePx = 84;
const barPx = 20;
const rowGapPx = 8;
const stripPx = 22;
const axisPx = 20;
/** Calls drawn at once; of more, those nearest to the end of the window. */
const callsDrawnMax = 400;
/** Calls before the first suspect that are in the first picture. */
const callsBefore = 8;
const charPx = 6.6;

function svg(name: string, attributes: Readonly<Record<string, string | number>>, text = ''): SVGElement {
  const made = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== '') made.textContent = text;
  return made;
}

interface Span {
  readonly fromUs: number;
  readonly toUs: number;
}

const endOf = (call: ReportCall): number => call.returnedUs ?? Number.POSITIVE_INFINITY;

export const callText = ({ type, marker, value, outcome, result }: ReportCall): string => {
  if (outcome === 'open' || outcome === 'unknown' || outcome === 'not-applied') return `${type} ${marker}: ${outcome}`;
  if (type === 'get') return `get: ${value ?? 'nothing'}`;
  return outcome === 'ok' ? `${type} ${marker}` : `${type} ${marker}: ${result}`;
};

/** Calls of one client that overlap lie below each other. */
function slotsOf(calls: readonly ReportCall[]): ReadonlyMap<number, number> {
  const slots = new Map<number, number>();
  const free: number[] = [];
  for (const call of calls) {
    const found = free.findIndex((until) => until <= call.invokedUs);
    const slot = found === -1 ? free.length : found;
    free[slot] = endOf(call);
    slots.set(call.id, slot);
  }
  return slots;
}

/**
 * The linearizability picture of one register: a row a client, a bar a call from its invocation to its return, above
 * them what the register held by the order of the log, and what cannot be explained in red.
 */
export class RegisterPicture {
  private readonly data: ReportData;
  private readonly picked: (callId: number) => void;
  private readonly endUs: number;
  private register: string;
  private span: Span = { fromUs: 0, toUs: 1 };
  private markUs = 0;

  constructor(data: ReportData, picked: (callId: number) => void) {
    this.data = data;
    this.picked = picked;
    this.register = data.register ?? '';
    this.endUs = data.failure?.atUs ?? data.calls.reduce((us, { returnedUs }) => Math.max(us, returnedUs ?? 0), 1);
    this.fillChoice();
    for (const [id, act] of this.buttons()) byId(id).addEventListener('click', act);
    this.focus();
  }

  /** Draws the selected moment of the diagram here too. */
  mark(atUs: number): void {
    this.markUs = atUs;
    this.draw();
  }

  draw(): void {
    const box = byId('register');
    const widthPx = Math.max(320, box.clientWidth);
    const calls = this.callsInView();
    const picture = svg('svg', { width: widthPx, role: 'group', 'aria-label': `calls on row ${this.register}` });
    const scale = (us: number): number =>
      namePx + ((us - this.span.fromUs) / (this.span.toUs - this.span.fromUs)) * (widthPx - namePx - 12);
    this.drawStrip(picture, scale, widthPx);
    let y = stripPx + rowGapPx * 2;
    for (let client = 0; client < this.data.clients; client++) {
      const own = calls.filter((call) => call.client === client);
      const slots = slotsOf(own);
      const rows = Math.max(1, ...[...slots.values()].map((slot) => slot + 1));
      picture.append(svg('text', { x: 4, y: y + barPx / 2, class: 'name' }, `client ${client}`));
      for (const call of own) this.drawCall(picture, call, y + (slots.get(call.id) ?? 0) * (barPx + 2), scale, widthPx);
      y += rows * (barPx + 2) + rowGapPx;
      picture.append(svg('line', { x1: 0, x2: widthPx, y1: y - rowGapPx / 2, y2: y - rowGapPx / 2, class: 'rule' }));
    }
    this.drawAxis(picture, scale, widthPx, y);
    picture.setAttribute('height', String(y + axisPx));
    box.replaceChildren(picture);
  }

  /** Those of the row, and suspects of others: an order across rows may be what went wrong. */
  private get calls(): readonly ReportCall[] {
    return this.data.calls.filter(({ register, suspect }) => register === this.register || suspect);
  }

  private callsInView(): readonly ReportCall[] {
    const { fromUs, toUs } = this.span;
    return this.calls.filter((call) => call.invokedUs <= toUs && endOf(call) >= fromUs).slice(-callsDrawnMax);
  }

  private fillChoice(): void {
    const choice = byId('register-choice');
    const names = [...new Set(this.data.calls.map(({ register }) => register))].sort();
    const suspects = new Set(this.data.calls.filter(({ suspect }) => suspect).map(({ register }) => register));
    for (const name of names) {
      const option = document.createElement('option');
      option.value = name;
      option.textContent = suspects.has(name) ? `${name} ⚠` : name;
      option.selected = name === this.register;
      choice.append(option);
    }
    choice.addEventListener('change', () => {
      if (choice instanceof HTMLSelectElement) this.register = choice.value;
      this.focus();
    });
  }

  private buttons(): readonly (readonly [id: string, act: () => void])[] {
    return [
      ['register-earlier', () => this.shift(-0.5)],
      ['register-later', () => this.shift(0.5)],
      ['register-in', () => this.scaleBy(0.5)],
      ['register-out', () => this.scaleBy(2)],
      ['register-all', () => this.look({ fromUs: 0, toUs: this.endUs })],
      ['register-focus', () => this.focus()],
    ];
  }

  private look(span: Span): void {
    this.span = span;
    this.draw();
  }

  private shift(by: number): void {
    const { fromUs, toUs } = this.span;
    const us = (toUs - fromUs) * by;
    this.look({ fromUs: fromUs + us, toUs: toUs + us });
  }

  private scaleBy(factor: number): void {
    const { fromUs, toUs } = this.span;
    const half = ((toUs - fromUs) / 2) * factor;
    const middle = (fromUs + toUs) / 2;
    this.look({ fromUs: middle - half, toUs: middle + half });
  }

  /** The suspects with a few calls before them; without any, the last calls. */
  private focus(): void {
    const { calls } = this;
    const first = calls.findIndex(({ suspect }) => suspect);
    const from = Math.max(0, (first === -1 ? calls.length : first) - callsBefore);
    const shown = calls.slice(from);
    const lastSuspect = calls.filter(({ suspect }) => suspect).at(-1);
    const toUs = Math.min(this.endUs, lastSuspect?.returnedUs ?? this.endUs);
    const fromUs = Math.min(shown[0]?.invokedUs ?? 0, toUs - 1_000);
    const air = (toUs - fromUs) * 0.04;
    this.look({ fromUs: fromUs - air, toUs: toUs + air });
  }

  private drawStrip(picture: SVGElement, scale: (us: number) => number, widthPx: number): void {
    picture.append(svg('text', { x: 4, y: stripPx / 2 + 4, class: 'name' }, 'by the log'));
    const changes = this.data.changes.filter(({ register }) => register === this.register);
    const initial: RegisterChange = { register: this.register, atUs: 0, value: null, position: 0 };
    const values = [initial, ...changes];
    values.forEach((change, index) => {
      const next = values[index + 1]?.atUs ?? Number.POSITIVE_INFINITY;
      const left = Math.max(namePx, scale(change.atUs));
      const right = Math.min(widthPx - 6, scale(Math.min(next, this.span.toUs)));
      if (right <= left) return;
      const value = change.value ?? 'nothing';
      const group = svg('g', { class: change.value === null ? 'held none' : 'held' });
      group.append(svg('title', {}, `${value}, from position ${change.position} at ${timeText(change.atUs)} s`));
      group.append(svg('rect', { x: left, y: 4, width: right - left, height: stripPx - 2, rx: 3 }));
      if (right - left > value.length * charPx + 6) {
        group.append(svg('text', { x: left + 4, y: stripPx / 2 + 4 }, value));
      }
      picture.append(group);
    });
  }

  private drawCall(
    picture: SVGElement,
    call: ReportCall,
    y: number,
    scale: (us: number) => number,
    widthPx: number,
  ): void {
    const text = call.register === this.register ? callText(call) : `${call.register} ${callText(call)}`;
    const left = Math.max(namePx, scale(call.invokedUs));
    const right = call.returnedUs === null ? widthPx - 4 : Math.min(widthPx - 4, scale(call.returnedUs));
    const width = Math.max(4, right - left);
    const kind = call.type === 'get' ? 'read' : 'write';
    const group = svg('g', {
      class: `call ${kind} ${call.outcome}${call.suspect ? ' suspect' : ''}`,
      tabindex: 0,
      role: 'button',
      'data-call': call.id,
    });
    const returned =
      call.returnedUs === null ? 'never returned' : `took ${durationText(call.returnedUs - call.invokedUs)}`;
    const about = `client ${call.client}, call ${call.id}: ${text}, ${call.result}, called at ${timeText(call.invokedUs)} s, ${returned}`;
    group.setAttribute('aria-label', call.suspect ? `violation: ${about}` : about);
    group.append(svg('title', {}, about), svg('rect', { x: left, y, width, height: barPx, rx: 4 }));
    if (call.executedUs !== null && call.executedUs >= this.span.fromUs && call.executedUs <= this.span.toUs) {
      const x = scale(call.executedUs);
      group.append(svg('line', { x1: x, x2: x, y1: y + 2, y2: y + barPx - 2, class: 'point' }));
    }
    const shown = call.suspect ? `⚠ ${text}` : text;
    if (width > shown.length * charPx + 8) group.append(svg('text', { x: left + 5, y: y + barPx / 2 + 1 }, shown));
    else if (call.suspect) {
      // Beside its bar, on the side where there is room for it.
      const fits = left - 4 - shown.length * charPx > namePx;
      const place = fits ? { x: left - 4, class: 'outside' } : { x: left + width + 4 };
      group.append(svg('text', { ...place, y: y + barPx / 2 + 1 }, shown));
    }
    const pick = (): void => this.picked(call.id);
    group.addEventListener('click', pick);
    group.addEventListener('keydown', (event) => {
      if (event instanceof KeyboardEvent && event.key === 'Enter') pick();
    });
    picture.append(group);
  }

  private drawAxis(picture: SVGElement, scale: (us: number) => number, widthPx: number, y: number): void {
    const { fromUs, toUs } = this.span;
    const ticks = Math.max(2, Math.floor((widthPx - namePx) / 130));
    for (let tick = 0; tick <= ticks; tick++) {
      const us = Math.round(fromUs + ((toUs - fromUs) * tick) / ticks);
      if (us < 0) continue;
      const x = scale(us);
      const anchor = tick === 0 ? 'start' : tick === ticks ? 'end' : 'middle';
      picture.append(svg('text', { x, y: y + axisPx / 2, class: 'tick', 'text-anchor': anchor }, `${timeText(us)} s`));
    }
    if (this.markUs >= fromUs && this.markUs <= toUs) {
      const x = scale(this.markUs);
      picture.append(svg('line', { x1: x, x2: x, y1: 0, y2: y, class: 'mark' }));
    }
  }
}
