import type { Log } from '@kimberlite/log';
import type { Message } from '@kimberlite/vsr';
import type { Ports } from './ports.ts';

/** Pauses between two looks for room: an attempt may cost as much as writing a file of the log. */
const pauseMs = 500;
const pauseMaxMs = 8_000;

/**
 * Prepares that may wait for the disk. Beyond it a full or very slow one would fill the memory instead, since the others
 * go on without it; what is dropped counts as lost on the way, and is asked for once there is room.
 */
export const logWaitingBytesMax = 33_554_432;

/** Where the log waits for room on the disk: says so, looks again now and then, and keeps what piles up meanwhile bounded. */
export class RoomWatch {
  private readonly ports: Pick<Ports, 'journal' | 'timers' | 'metrics'>;
  private readonly log: () => Log | undefined;
  private nextPauseMs = pauseMs;
  private isDropping = false;

  constructor(ports: Pick<Ports, 'journal' | 'timers' | 'metrics'>, log: () => Log | undefined) {
    this.ports = ports;
    this.log = log;
  }

  /** The log waits for room, or goes on. */
  changed(full: boolean): void {
    const { journal, timers } = this.ports;
    this.nextPauseMs = pauseMs;
    if (!full) {
      timers.cancel('space');
      return journal.write('info', 'the disk has room again: writes go on', {});
    }
    const message =
      'the disk is full: writes wait and new ones are refused, reads go on. Make room on the file system of the data directory; this node goes on by itself.';
    journal.write('error', message, { usedBytes: this.log()?.usedBytes() ?? 0 });
    this.arm();
  }

  /** Time to look for room. */
  look(): void {
    const log = this.log();
    if (log?.isFull() !== true) return;
    log.tryAgain();
    this.arm();
  }

  private arm(): void {
    this.ports.timers.set('space', this.nextPauseMs);
    this.nextPauseMs = Math.min(pauseMaxMs, this.nextPauseMs * 2);
  }

  /** Whether the log can still take what a peer's message would have it write. */
  takes(type: Message['type']): boolean {
    if (type !== 'prepare' && type !== 'repair-prepare') return true;
    const isTooMuch = (this.log()?.waitingBytes() ?? 0) > logWaitingBytesMax;
    if (isTooMuch !== this.isDropping) {
      const { journal } = this.ports;
      this.isDropping = isTooMuch;
      if (isTooMuch) journal.write('warn', 'the disk does not keep up: prepares are dropped until it does', {});
      else journal.write('info', 'the disk keeps up again', {});
    }
    if (isTooMuch) this.ports.metrics.count('prepares_dropped_total', 1);
    return !isTooMuch;
  }
}
