import type { Layout } from './layout.ts';
import type { Model, Transmission } from './model.ts';

/** What the canvas shows: a window of the whole diagram, at a place given by its scrolling. */
export interface View {
  readonly model: Model;
  readonly layout: Layout;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly scrollX: number;
  readonly scrollY: number;
  /** Selected row. */
  readonly selected: number;
}

export const headerPx = 34;
/** Times, and the bars of faults that last. */
export const gutterPx = 112;
const lanePxMin = 96;

export const lanePx = ({ model, widthPx }: Pick<View, 'model' | 'widthPx'>): number =>
  Math.max(lanePxMin, (widthPx - gutterPx) / model.lanes.length);

/** Of the whole diagram, which may be wider than the window. */
export const diagramPx = (view: Pick<View, 'model' | 'widthPx'>): number =>
  gutterPx + lanePx(view) * view.model.lanes.length;

export const laneX = (view: View, lane: number): number => gutterPx + lanePx(view) * (lane + 0.5) - view.scrollX;

export const rowY = (view: View, row: number): number => (view.layout.y[row] ?? 0) - view.scrollY + headerPx;

export interface Segment {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** How far a lost message gets. */
const lostPart = 0.4;

/** The line of a message to one of its arrivals; to nowhere when it never arrived. */
export function segmentOf(view: View, message: Transmission, arrivalRow: number | null): Segment {
  const x1 = laneX(view, message.from);
  const x2 = laneX(view, message.to);
  const y1 = message.sentRow >= 0 ? rowY(view, message.sentRow) : rowY(view, arrivalRow ?? 0) - view.layout.rowPx;
  if (arrivalRow === null) return { x1, y1, x2: x1 + (x2 - x1) * lostPart, y2: y1 + view.layout.rowPx * 0.8 };
  return { x1, y1, x2, y2: rowY(view, arrivalRow) };
}

export function distanceTo({ x1, y1, x2, y2 }: Segment, x: number, y: number): number {
  const dx = x2 - x1;
  const dy = y2 - y1;
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / length));
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}
