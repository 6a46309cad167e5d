import { diagramPx, distanceTo, headerPx, laneX, rowY, segmentOf, type View } from './geometry.ts';
import { type Filter, type Layout, layOut, shownBelow, shownFrom, UnderWay } from './layout.ts';
import type { Model } from './model.ts';
import { paint } from './paint.ts';
import { type Palette, readPalette } from './palette.ts';

/** How far a click may be from what it means. */
const reachPx = 7;

/**
 * The sequence diagram: a canvas the size of its window that draws only what is in view, inside a box that scrolls as
 * far as the whole diagram would. So a hundred thousand events cost no more than the fifty one sees.
 */
export class Diagram {
  private readonly model: Model;
  private readonly box: HTMLElement;
  private readonly sizer: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;
  private readonly underWay: UnderWay;
  private readonly selectedChanged: (row: number) => void;
  private palette: Palette;
  private layout: Layout;
  private filter: Filter;
  private zoom = 1;
  private isDrawing = false;
  selected: number;

  constructor(options: {
    readonly model: Model;
    readonly box: HTMLElement;
    readonly filter: Filter;
    readonly selectedChanged: (row: number) => void;
  }) {
    this.model = options.model;
    this.box = options.box;
    this.filter = options.filter;
    this.selectedChanged = options.selectedChanged;
    this.selected = this.model.data.focusRow;
    this.sizer = document.createElement('div');
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('aria-hidden', 'true');
    this.sizer.append(this.canvas);
    this.box.append(this.sizer);
    const context = this.canvas.getContext('2d', { alpha: false });
    if (context === null) throw new Error('this browser draws on no canvas');
    this.context = context;
    this.palette = readPalette();
    this.underWay = new UnderWay(this.model);
    this.layout = layOut(this.model, this.filter, this.zoom);
    this.listen();
    this.resize();
    this.reveal(this.selected);
  }

  /** How many of the events are shown. */
  get shownCount(): number {
    return this.layout.rows.length;
  }

  show(filter: Filter): void {
    this.filter = filter;
    this.relayOut();
  }

  zoomBy(factor: number): void {
    this.zoom = Math.max(0.15, Math.min(4, this.zoom * factor));
    this.relayOut();
  }

  /** Selects a row and brings it into view. */
  select(row: number): void {
    this.selected = Math.max(0, Math.min(this.model.events.length - 1, row));
    this.reveal(this.selected);
    this.selectedChanged(this.selected);
    this.draw();
  }

  /** To the next shown row, or the one before. */
  move(by: number): void {
    const place = shownFrom(this.layout, this.selected);
    const isShown = this.layout.rows[place] === this.selected;
    // From a row that is hidden, one step down is the first shown one after it.
    const target = place + (by > 0 && !isShown ? by - 1 : by);
    const row = this.layout.rows[Math.max(0, Math.min(this.layout.rows.length - 1, target))];
    if (row !== undefined) this.select(row);
  }

  /** Reads the colours again: the scheme has changed. */
  recolour(): void {
    this.palette = readPalette();
    this.draw();
  }

  resize(): void {
    const ratio = window.devicePixelRatio;
    const { clientWidth, clientHeight } = this.box;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.canvas.style.width = `${clientWidth}px`;
    this.canvas.style.height = `${clientHeight}px`;
    this.fitSizer();
    this.draw();
  }

  private relayOut(): void {
    const offset = this.y(this.selected) - this.box.scrollTop;
    const wasInView = offset >= 0 && offset <= this.box.clientHeight;
    this.layout = layOut(this.model, this.filter, this.zoom);
    this.fitSizer();
    if (wasInView) this.box.scrollTop = this.y(this.selected) - offset;
    this.draw();
  }

  private fitSizer(): void {
    this.sizer.style.height = `${this.layout.heightPx + headerPx}px`;
    this.sizer.style.width = `${diagramPx({ model: this.model, widthPx: this.box.clientWidth })}px`;
  }

  private y(row: number): number {
    return this.layout.y[row] ?? 0;
  }

  private reveal(row: number): void {
    const { scrollTop, clientHeight } = this.box;
    const y = this.y(row) + headerPx;
    if (y < scrollTop + headerPx + 40 || y > scrollTop + clientHeight - 60) this.box.scrollTop = y - clientHeight * 0.6;
  }

  private view(): View {
    const { model, layout, selected, box } = this;
    const { clientWidth: widthPx, clientHeight: heightPx, scrollLeft: scrollX, scrollTop: scrollY } = box;
    return { model, layout, widthPx, heightPx, scrollX, scrollY, selected };
  }

  private draw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      const ratio = window.devicePixelRatio;
      this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
      paint(this.context, this.view(), this.palette, this.underWay);
    });
  }

  private listen(): void {
    this.box.addEventListener('scroll', () => this.draw(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(this.box);
    this.canvas.addEventListener('click', (event) => {
      const row = this.rowUnder(event.offsetX, event.offsetY);
      if (row !== null) this.select(row);
    });
    this.canvas.addEventListener('mousemove', (event) => {
      this.canvas.style.cursor = this.rowUnder(event.offsetX, event.offsetY) === null ? 'default' : 'pointer';
    });
    this.box.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        this.zoomBy(event.deltaY > 0 ? 0.8 : 1.25);
      },
      { passive: false },
    );
  }

  /** The row a click means: the message whose line is nearest, or the event on that height. */
  private rowUnder(x: number, y: number): number | null {
    if (y < headerPx) return null;
    const view = this.view();
    const place = shownBelow(this.layout, view.scrollY + y - headerPx);
    const near = [place - 1, place].flatMap((at) => this.layout.rows[at] ?? []);
    const byHeight = near
      .map((row) => ({ row, distance: Math.abs(rowY(view, row) - y) }))
      .sort((a, b) => a.distance - b.distance)[0];
    const event = byHeight === undefined ? undefined : this.model.events[byHeight.row];
    // A mark is small and an arrow long: close to the mark it is the mark.
    const onMark = event !== undefined && event.message === null && Math.abs(laneX(view, event.lane) - x) < 3 * reachPx;
    const byLine = onMark ? null : this.messageUnder(view, x, y, near);
    if (byLine !== null) return byLine;
    return byHeight !== undefined && byHeight.distance <= Math.max(reachPx, this.layout.rowPx / 2)
      ? byHeight.row
      : null;
  }

  private messageUnder(view: View, x: number, y: number, near: readonly number[]): number | null {
    let best: number | null = null;
    let bestPx = reachPx;
    for (const index of this.underWay.between(near[0] ?? 0, near.at(-1) ?? near[0] ?? 0)) {
      const message = this.model.transmissions[index];
      if (message === undefined || !(this.filter.groups.has(message.group) || message.group === 'damaged')) continue;
      const ends = message.arrivalRows.length === 0 ? [null] : message.arrivalRows;
      for (const end of ends) {
        const px = distanceTo(segmentOf(view, message, end), x, y);
        if (px >= bestPx) continue;
        bestPx = px;
        best = message.sentRow >= 0 ? message.sentRow : end;
      }
    }
    return best;
  }

  /** Where a row is drawn, in the window's own pixels; for tests and for nobody else's sums. */
  placeOf(row: number): { readonly x: number; readonly y: number } {
    const view = this.view();
    const event = this.model.events[row];
    return { x: laneX(view, Math.max(0, event?.lane ?? 0)), y: rowY(view, row) };
  }
}
