import { assert, type RandomState, seedRandom } from '@kimberlite/base';
import { digestText } from './trace.ts';

/** Something that will happen at a virtual time. Cancelled ones stay in the heap until their time. */
export interface Scheduled {
  readonly timeUs: number;
  readonly sequence: number;
  run: (() => void) | null;
}

/** Events that may wait at once; more means that something multiplies without end. */
export const pendingEventsMax = 1_000_000;

const before = (a: Scheduled, b: Scheduled): boolean =>
  a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.sequence < b.sequence);

/**
 * Virtual time in microseconds and everything that waits for it. Events at one time run in the order in
 * which they were scheduled, so a run is a function of its seed alone.
 */
export class Scheduler {
  readonly seed: number;
  private heap: Scheduled[] = [];
  private sequence = 0;
  private now = 0;
  private executed = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  get nowUs(): number {
    return this.now;
  }
  /** Events run so far. */
  get steps(): number {
    return this.executed;
  }
  get pending(): number {
    return this.heap.length;
  }

  /** A generator of its own for one purpose: draws for one do not shift the draws for another. */
  random(purpose: string): RandomState {
    return seedRandom(digestText(`${this.seed} ${purpose}`));
  }

  /** Runs `run` after that many microseconds; zero means after everything already due now. */
  after(delayUs: number, run: () => void): Scheduled {
    assert(delayUs >= 0, () => `nothing is scheduled in the past: ${delayUs}`);
    assert(this.heap.length < pendingEventsMax, 'the number of waiting events is bounded');
    const scheduled: Scheduled = { timeUs: this.now + Math.floor(delayUs), sequence: this.sequence++, run };
    this.push(scheduled);
    return scheduled;
  }

  cancel(scheduled: Scheduled): void {
    scheduled.run = null;
  }

  /** Runs the next event due by `limitUs`; false when there is none. */
  step(limitUs = Number.POSITIVE_INFINITY): boolean {
    for (;;) {
      const next = this.heap[0];
      if (next === undefined || next.timeUs > limitUs) return false;
      this.pop();
      const { run } = next;
      if (run === null) continue;
      assert(next.timeUs >= this.now, 'virtual time never goes back');
      this.now = next.timeUs;
      this.executed += 1;
      run();
      return true;
    }
  }

  /** Runs everything due up to and including that time, or until `stop` is true after an event; says whether it was. */
  runUntil(timeUs: number, stop: () => boolean = () => false): boolean {
    while (this.step(timeUs)) if (stop()) return true;
    if (this.now < timeUs) this.now = timeUs;
    return false;
  }

  private push(item: Scheduled): void {
    const heap = this.heap;
    const { timeUs } = item;
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Scheduled;
      // A new item has the highest sequence: at its own time it comes last.
      if (above.timeUs <= timeUs) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = item;
  }

  /** Takes the first item away: the last one sinks from its place. */
  private pop(): void {
    const heap = this.heap;
    const last = heap.pop();
    const { length } = heap;
    if (last === undefined || length === 0) return;
    let at = 0;
    for (let child = 1; child < length; child = 2 * at + 1) {
      let below = heap[child] as Scheduled;
      if (child + 1 < length) {
        const right = heap[child + 1] as Scheduled;
        if (before(right, below)) {
          below = right;
          child += 1;
        }
      }
      if (!before(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}
