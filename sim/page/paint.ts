import { timeText } from './format.ts';
import { gutterPx, headerPx, laneX, rowY, segmentOf, type Segment, type View } from './geometry.ts';
import { shownBelow, shownFrom, type UnderWay } from './layout.ts';
import { type LanePhase, type PageEvent, phaseAt, type Transmission } from './model.ts';
import { type Palette, viewColour } from './palette.ts';

const font = '11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
const strongFont = '600 12px system-ui, sans-serif';
/** Below this distance of two rows labels are left out. */
const labelRowPxMin = 11;
const faultColumnPx = 6;
const faultColumns = 3;

/** Everything one picture is drawn from. */
interface Painting {
  readonly context: CanvasRenderingContext2D;
  readonly view: View;
  readonly palette: Palette;
  /** First and last shown row, with what is just outside. */
  readonly low: number;
  readonly high: number;
  readonly shown: Int32Array;
}

export function paint(context: CanvasRenderingContext2D, view: View, palette: Palette, underWay: UnderWay): void {
  const { layout, scrollY, heightPx, widthPx } = view;
  const first = Math.max(0, shownBelow(layout, scrollY - headerPx) - 1);
  const last = Math.min(layout.rows.length, shownBelow(layout, scrollY + heightPx) + 1);
  const shown = layout.rows.subarray(first, last);
  const painting = { context, view, palette, low: shown[0] ?? 0, high: shown.at(-1) ?? 0, shown };
  context.font = font;
  context.textBaseline = 'middle';
  context.fillStyle = palette.paper;
  context.fillRect(0, 0, widthPx, heightPx);
  if (shown.length > 0) {
    paintBands(painting);
    paintLanes(painting);
    paintCalls(painting);
    paintMessages(painting, underWay);
    for (const row of shown) paintMark(painting, row);
    paintTimes(painting);
    paintFaults(painting);
  }
  paintHeader(painting);
}

function band({ context, view }: Painting, row: number, colour: string, alpha: number): void {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(0, rowY(view, row) - view.layout.rowPx / 2 - 1, view.widthPx, view.layout.rowPx + 2);
  context.globalAlpha = 1;
}

/** The failure, and what is selected. */
function paintBands(painting: Painting): void {
  const { view, palette } = painting;
  const { data } = view.model;
  if (data.failure !== null) band(painting, data.focusRow, palette.bad, 0.22);
  band(painting, view.selected, palette.select, 0.2);
}

function paintLanes(painting: Painting): void {
  const { context, view, palette, low, high } = painting;
  view.model.lanes.forEach((_, lane) => {
    const x = laneX(view, lane);
    context.fillStyle = palette.line;
    context.fillRect(x - 0.5, headerPx, 1, view.heightPx);
    const phases = view.model.phases[lane];
    if (phases === undefined) return;
    let phase = phaseAt(phases, low);
    let at = phase === undefined ? 0 : phases.indexOf(phase);
    for (; at < phases.length; at++) {
      phase = phases[at];
      if (phase === undefined || phase.row > high) break;
      const next = phases[at + 1];
      const top = Math.max(headerPx, phase.row < 0 ? 0 : rowY(view, phase.row));
      const bottom = next === undefined ? view.heightPx : Math.min(view.heightPx, rowY(view, next.row));
      if (bottom > top) paintPhase(painting, phase, x, top, bottom);
    }
  });
}

function paintPhase({ context, palette }: Painting, phase: LanePhase, x: number, top: number, bottom: number): void {
  const { power, state } = phase;
  if (power === 'down') {
    context.fillStyle = palette.paper;
    context.fillRect(x - 1, top, 2, bottom - top);
    dashed(context, palette.bad, x, top, bottom);
    return;
  }
  if (state === null) return dashed(context, palette.quiet, x, top, bottom);
  const widthPx = state.isPrimary ? 14 : 7;
  context.fillStyle = viewColour(palette, state.view);
  const isNormal = state.status === 'normal';
  context.globalAlpha = isNormal ? 1 : 0.35;
  context.fillRect(x - widthPx / 2, top, widthPx, bottom - top);
  context.globalAlpha = 1;
  if (power !== 'paused') return;
  context.fillStyle = palette.paper;
  for (let y = top; y < bottom; y += 8) context.fillRect(x - widthPx / 2, y, widthPx, Math.min(4, bottom - y));
}

function dashed(context: CanvasRenderingContext2D, colour: string, x: number, top: number, bottom: number): void {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.setLineDash([3, 4]);
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x, bottom);
  context.stroke();
  context.setLineDash([]);
}

/** A bar on the client's lane from each call to its return. */
function paintCalls({ context, view, palette, low, high }: Painting): void {
  context.fillStyle = palette.groups.get('request') ?? palette.ink;
  for (const { called, returned, lane } of view.model.callRows.values()) {
    if (called > high || (returned >= 0 && returned < low)) continue;
    const top = Math.max(headerPx, rowY(view, called));
    const bottom = returned < 0 ? view.heightPx : Math.min(view.heightPx, rowY(view, returned));
    context.globalAlpha = 0.45;
    context.fillRect(laneX(view, lane) - 3, top, 6, Math.max(2, bottom - top));
  }
  context.globalAlpha = 1;
}

function paintMessages(painting: Painting, underWay: UnderWay): void {
  const { view, low, high } = painting;
  for (const index of underWay.between(low, high)) {
    const message = view.model.transmissions[index];
    if (message === undefined || !isShown(view, message)) continue;
    const isSelected = message.sentRow === view.selected || message.arrivalRows.includes(view.selected);
    const ends = message.arrivalRows.length === 0 ? [null] : message.arrivalRows;
    ends.forEach((row, copy) => paintArrow(painting, message, row, copy > 0, isSelected));
  }
}

/** An arrow is shown when its rows are, also where both of them are out of the window. */
function isShown({ layout }: View, message: Transmission): boolean {
  return [message.sentRow, ...message.arrivalRows].some(
    (row) => row >= 0 && layout.rows[shownFrom(layout, row)] === row,
  );
}

function paintArrow(
  { context, view, palette }: Painting,
  message: Transmission,
  arrivalRow: number | null,
  isCopy: boolean,
  isSelected: boolean,
): void {
  const segment = segmentOf(view, message, arrivalRow);
  const colour = palette.groups.get(message.group) ?? palette.ink;
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = isSelected ? 3 : 1.25;
  if (isCopy || arrivalRow === null) context.setLineDash([5, 4]);
  context.beginPath();
  context.moveTo(segment.x1, segment.y1);
  context.lineTo(segment.x2, segment.y2);
  context.stroke();
  context.setLineDash([]);
  if (arrivalRow === null) paintCross(context, palette, segment);
  else paintHead(context, segment, isSelected ? 10 : 7);
}

function paintCross(context: CanvasRenderingContext2D, palette: Palette, { x2, y2 }: Segment): void {
  context.strokeStyle = palette.bad;
  context.lineWidth = 1.75;
  context.beginPath();
  for (const [dx, dy] of [
    [1, 1],
    [1, -1],
  ] as const) {
    context.moveTo(x2 - 4 * dx, y2 - 4 * dy);
    context.lineTo(x2 + 4 * dx, y2 + 4 * dy);
  }
  context.stroke();
}

function paintHead(context: CanvasRenderingContext2D, { x1, y1, x2, y2 }: Segment, sizePx: number): void {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  context.beginPath();
  context.moveTo(x2, y2);
  for (const side of [-1, 1]) {
    context.lineTo(x2 - sizePx * Math.cos(angle + side * 0.4), y2 - sizePx * Math.sin(angle + side * 0.4));
  }
  context.fill();
}

/** Text with a rim of paper, so that it is read across lines. */
function label(painting: Painting, text: string, x: number, y: number, align: CanvasTextAlign, colour: string): void {
  const { context, palette } = painting;
  context.textAlign = align;
  context.lineJoin = 'round';
  context.strokeStyle = palette.paper;
  context.lineWidth = 3.5;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

const markLabelCharsMax = 64;
const shortened = (text: string): string =>
  text.length > markLabelCharsMax ? `${text.slice(0, markLabelCharsMax - 1)}…` : text;

function paintMark(painting: Painting, row: number): void {
  const { view, palette } = painting;
  const event = view.model.events[row];
  if (event === undefined) return;
  const y = rowY(view, row);
  const hasLabels = view.layout.rowPx >= labelRowPxMin;
  switch (event.kind) {
    case 'sent': {
      if (!hasLabels) return;
      const toRight = event.other > event.lane;
      const x = laneX(view, event.lane) + (toRight ? 12 : -12);
      const colour = palette.groups.get(event.group) ?? palette.ink;
      return label(painting, event.text, x, y - 1, toRight ? 'left' : 'right', colour);
    }
    case 'received':
      if (event.copy > 1 && hasLabels) sideLabel(painting, event, `again: ${event.text}`, y, palette.quiet);
      return;
    case 'fault':
    case 'note':
    case 'failure': {
      const colour = event.kind === 'failure' ? palette.bad : palette.ink;
      const text = event.kind === 'fault' ? `⚡ ${event.text}` : event.text;
      painting.context.font = strongFont;
      label(painting, event.kind === 'failure' ? text : shortened(text), gutterPx + 4, y, 'left', colour);
      painting.context.font = font;
      return;
    }
    default:
      dot(painting, event, y);
      if (hasLabels) sideLabel(painting, event, shortened(event.text), y, markColour(palette, event));
  }
}

function sideLabel(painting: Painting, event: PageEvent, text: string, y: number, colour: string): void {
  const { view } = painting;
  const isLast = event.lane === view.model.lanes.length - 1;
  const x = laneX(view, event.lane) + (isLast ? -12 : 12);
  label(painting, text, x, y, isLast ? 'right' : 'left', colour);
}

function markColour(palette: Palette, { kind }: PageEvent): string {
  if (kind === 'down' || kind === 'disk-failed') return palette.bad;
  return kind === 'booted' || kind === 'called' || kind === 'returned' || kind === 'executed'
    ? palette.ink
    : palette.quiet;
}

/** A diamond for a sync, a square for other work of a disk, a cross for an end, a circle for the rest. */
function dot({ context, view, palette }: Painting, event: PageEvent, y: number): void {
  const x = laneX(view, event.lane);
  context.fillStyle = markColour(palette, event);
  context.strokeStyle = palette.paper;
  context.lineWidth = 1;
  context.beginPath();
  if (event.kind === 'synced') {
    context.moveTo(x, y - 5);
    context.lineTo(x + 5, y);
    context.lineTo(x, y + 5);
    context.lineTo(x - 5, y);
    context.closePath();
  } else if (event.kind.startsWith('disk')) context.rect(x - 3, y - 3, 6, 6);
  else if (event.kind === 'down') return paintCross(context, palette, { x1: x, y1: y, x2: x, y2: y });
  else context.arc(x, y, event.kind === 'called' || event.kind === 'returned' ? 4.5 : 3, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

function paintTimes(painting: Painting): void {
  const { context, view, palette, shown } = painting;
  let lowest = headerPx;
  context.textAlign = 'right';
  for (const row of shown) {
    const y = rowY(view, row);
    const event = view.model.events[row];
    if (event === undefined || y < lowest + 14) continue;
    lowest = y;
    context.fillStyle = row === view.selected ? palette.ink : palette.quiet;
    context.fillText(timeText(event.atUs), gutterPx - faultColumns * faultColumnPx - 10, y);
  }
}

/** Faults that last, each a bar beside the times, next to each other where they overlap. */
function paintFaults({ context, view, palette, low, high }: Painting): void {
  const until: number[] = Array.from({ length: faultColumns }, () => -1);
  context.fillStyle = palette.bad;
  for (const { event, endRow } of view.model.faults) {
    const free = until.findIndex((row) => row <= event.row);
    const column = free === -1 ? faultColumns - 1 : free;
    until[column] = Math.max(until[column] ?? -1, endRow);
    if (event.row > high || endRow < low) continue;
    const top = Math.max(headerPx, rowY(view, event.row));
    const last = Math.min(endRow, view.model.events.length - 1);
    const bottom = Math.min(view.heightPx, rowY(view, last));
    context.globalAlpha = 0.7;
    context.fillRect(gutterPx - (faultColumns - column) * faultColumnPx - 4, top, 4, Math.max(3, bottom - top));
  }
  context.globalAlpha = 1;
}

function paintHeader({ context, view, palette, low }: Painting): void {
  context.fillStyle = palette.panel;
  context.fillRect(0, 0, view.widthPx, headerPx);
  context.fillStyle = palette.line;
  context.fillRect(0, headerPx - 1, view.widthPx, 1);
  context.textAlign = 'center';
  view.model.lanes.forEach((name, lane) => {
    const x = laneX(view, lane);
    const state = phaseAt(view.model.phases[lane] ?? [], low)?.state ?? null;
    context.font = strongFont;
    context.fillStyle = palette.ink;
    context.fillText(name, x, state === null ? headerPx / 2 : headerPx / 2 - 7);
    context.font = font;
    if (state === null) return;
    context.fillStyle = viewColour(palette, state.view);
    context.fillText(`${state.isPrimary ? 'primary, ' : ''}view ${state.view}`, x, headerPx / 2 + 8);
  });
  context.fillStyle = palette.panel;
  context.fillRect(0, 0, gutterPx - 4, headerPx - 1);
  context.textAlign = 'right';
  context.fillStyle = palette.quiet;
  context.fillText('seconds', gutterPx - faultColumns * faultColumnPx - 10, headerPx / 2);
}
