import type { Group, Model } from './model.ts';

/** Pixels from one row to the next at zoom 1, when both are at one time. */
const stepPx = 15;
/** A pause in which nothing happens is drawn by its length, up to this. */
const pausePxPerMs = 2;
const pausePxMax = 42;
const marginPx = 28;

/**
 * Where rows are drawn. Time runs downwards, and long pauses are squeezed: what happened has room, and nobody scrolls
 * through a second of silence.
 */
export interface Layout {
  /** Rows that are shown, ascending. */
  readonly rows: Int32Array;
  /** Of each row of the model, shown or not: its y. Never decreases. */
  readonly y: Float64Array;
  readonly heightPx: number;
  /** Below this distance labels would lie on each other. */
  readonly rowPx: number;
}

export interface Filter {
  readonly groups: ReadonlySet<Group>;
  /** In lower case; only rows with it are shown, and what always is. */
  readonly search: string;
}

export function layOut(model: Model, filter: Filter, zoom: number): Layout {
  const { events } = model;
  const rows = new Int32Array(events.length);
  const y = new Float64Array(events.length);
  let count = 0;
  let at = marginPx;
  let lastUs = events[0]?.atUs ?? 0;
  events.forEach((event, row) => {
    const isShown =
      event.group === 'always' ||
      (filter.groups.has(event.group) &&
        (filter.search === '' || `${event.text} ${event.detail}`.toLowerCase().includes(filter.search)));
    if (isShown) {
      const pausePx = Math.min(pausePxMax, ((event.atUs - lastUs) / 1000) * pausePxPerMs);
      if (count > 0) at += (stepPx + pausePx) * zoom;
      rows[count++] = row;
      lastUs = event.atUs;
    }
    y[row] = at;
  });
  return { rows: rows.subarray(0, count), y, heightPx: at + marginPx * 2, rowPx: stepPx * zoom };
}

/** Place in `rows` of the first shown row at or after `row`. */
export function shownFrom(layout: Layout, row: number): number {
  let low = 0;
  let high = layout.rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((layout.rows[middle] ?? 0) < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Place in `rows` of the first shown row at or below a y. */
export function shownBelow(layout: Layout, y: number): number {
  let low = 0;
  let high = layout.rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((layout.y[layout.rows[middle] ?? 0] ?? 0) < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Rows in a bundle of the index of messages under way. */
const bundleRows = 256;

/** Which messages are under way at each place, so that an arrow is drawn also where neither of its ends is in view. */
export class UnderWay {
  private readonly bundles: number[][];
  private readonly model: Model;

  constructor(model: Model) {
    this.model = model;
    this.bundles = Array.from({ length: Math.ceil(model.events.length / bundleRows) + 1 }, () => []);
    model.transmissions.forEach(({ sentRow, arrivalRows }, index) => {
      const last = arrivalRows.at(-1) ?? sentRow;
      const from = Math.floor(Math.max(0, sentRow) / bundleRows);
      for (let bundle = from; bundle <= Math.floor(last / bundleRows); bundle++) this.bundles[bundle]?.push(index);
    });
  }

  /** Messages that are under way somewhere between two rows. */
  between(low: number, high: number): Set<number> {
    const found = new Set<number>();
    for (let bundle = Math.floor(low / bundleRows); bundle <= Math.floor(high / bundleRows); bundle++) {
      for (const index of this.bundles[bundle] ?? []) {
        const message = this.model.transmissions[index];
        if (message === undefined) continue;
        const last = message.arrivalRows.at(-1) ?? message.sentRow;
        if (message.sentRow <= high && last >= low) found.add(index);
      }
    }
    return found;
  }
}
