import type { HostTimer, Timers } from '@kimberlite/host';

/**
 * One timer of each name. A timer that is due fires only after the sockets have been read once more: after a pause
 * of the process the heartbeats that arrived meanwhile count before the timeout that missed them does (pitfall 28).
 */
export class NodeTimers implements Timers {
  private readonly armed = new Map<HostTimer, NodeJS.Timeout>();
  private readonly fired: (timer: HostTimer) => void;
  private closed = false;

  constructor(fired: (timer: HostTimer) => void) {
    this.fired = fired;
  }

  readonly set = (timer: HostTimer, delayMs: number): void => {
    this.cancel(timer);
    if (this.closed) return;
    const handle = setTimeout(() => {
      setImmediate(() => {
        // Set again or cancelled by what was read in between.
        if (this.armed.get(timer) !== handle) return;
        this.armed.delete(timer);
        this.fired(timer);
      });
    }, delayMs);
    this.armed.set(timer, handle);
  };

  readonly cancel = (timer: HostTimer): void => {
    const handle = this.armed.get(timer);
    if (handle === undefined) return;
    clearTimeout(handle);
    this.armed.delete(timer);
  };

  /** After every socket that was ready has been read: the requests of all clients of this turn meet in one prepare. */
  readonly defer = (turn: () => void): void => {
    setImmediate(turn);
  };

  close(): void {
    this.closed = true;
    for (const timer of [...this.armed.keys()]) this.cancel(timer);
  }
}
