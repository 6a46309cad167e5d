import { type Checksum, type CheckpointRef, op as toOp, type RecoveredLog, unreachable } from '@kimberlite/base';
import type { Found, Log, ScrubStep } from '@kimberlite/log';
import type { Event } from '@kimberlite/vsr';
import type { Ports } from './ports.ts';

/** Everything is read once in that time, unless `bytesPerSecondMin` reads it sooner. */
export const scrubSecondsDefault = 86_400;
/** A small directory is read more often: at this rate nobody notices. */
const bytesPerSecondMin = 262_144;
/** Between two pieces of which nothing was read, and at least. */
const pauseMinMs = 1;
/** So that a file system that is written to is never asked too seldom. */
const pauseMaxMs = 60_000;

/** From the start to the first piece, or less where everything is to be read sooner. */
const firstPauseMs = 10_000;

export interface DamageStatus {
  /** Damaged pieces of the directory found since the start of the process, the opening of the log included. */
  readonly damageFound: number;
  /** Of those, the ones that were written again: from what the log knew otherwise, or from the others. */
  readonly damageRepaired: number;
}

export interface ScrubWatchOptions {
  readonly ports: Pick<Ports, 'journal' | 'timers' | 'metrics'>;
  readonly seconds: number;
  readonly log: () => Log | undefined;
  readonly checkpoints: () => readonly CheckpointRef[];
  readonly post: (event: Event) => void;
}

/**
 * The background scrub, paced so that it costs nobody anything; and the ledger of damage: what was found, by whomever,
 * and what became of it.
 */
export class ScrubWatch {
  private readonly options: ScrubWatchOptions;
  private found = 0;
  private repaired = 0;
  /** Prepares found damaged and not appended again yet, by op. */
  private readonly prepares = new Map<number, Checksum>();
  private checkpointsDamaged: ReadonlySet<string> = new Set();
  private passBytes = 0;
  private stopped = false;

  constructor(options: ScrubWatchOptions) {
    this.options = options;
  }

  status(): DamageStatus {
    return { damageFound: this.found, damageRepaired: this.repaired };
  }

  /** The log is open: what was damaged in it, and what was mended in opening it. */
  opened(mended: number, { slots }: RecoveredLog): void {
    if (mended > 0) {
      this.note('warn', 'damage found and mended while the log was opened', { pieces: mended });
      this.count(mended, mended);
    }
    for (const { op, id, state } of slots) {
      if (state !== 'faulty' || id === null) continue;
      this.prepares.set(op, id);
      this.count(1, 0);
    }
    // Opening the log has just read all of it.
    this.options.ports.timers.set('scrub', Math.min(firstPauseMs, this.options.seconds * 1000));
  }

  /** A piece is due. */
  due(): void {
    const { log, checkpoints } = this.options;
    if (this.stopped) return;
    log()?.scrub(checkpoints(), (step) => this.scrubbed(step));
  }

  stop(): void {
    this.stopped = true;
    this.options.ports.timers.cancel('scrub');
  }

  private scrubbed({ readBytes, found, passEnded }: ScrubStep): void {
    if (this.stopped) return;
    this.passBytes += readBytes;
    for (const damage of found) this.onFound(damage);
    if (passEnded) {
      this.options.ports.metrics.count('scrub_passes_total', 1);
      this.note('debug', 'everything on the disk was read once', { bytes: this.passBytes });
      this.passBytes = 0;
    }
    this.options.ports.metrics.count('scrub_read_bytes_total', readBytes);
    this.arm(readBytes);
  }

  private onFound(damage: Found): void {
    const { post } = this.options;
    switch (damage.kind) {
      case 'superblock':
        this.count(damage.copies, damage.copies);
        return this.note('warn', 'damaged copies of the superblock were written again', { copies: damage.copies });
      case 'file-header':
      case 'checkpoint-header':
      case 'header-record':
        this.count(1, 1);
        return this.note('warn', 'damage found and mended', { ...damage });
      case 'prepare': {
        const { op, id, file, offset } = damage;
        this.prepares.set(op, id);
        this.count(1, 0);
        this.note('warn', 'a damaged prepare was found: it is fetched from the others', { op, file, offset });
        return post({ type: 'damage-found', op: toOp(op), id });
      }
      case 'checkpoint':
        // Counted when the replica calls it damaged, which other readers bring about as well.
        this.note('warn', 'a damaged part of a checkpoint was found', { file: damage.file, part: damage.part });
        return post({ type: 'checkpoint-damaged', ref: damage.ref });
      default:
        return unreachable(damage);
    }
  }

  /** A prepare is on the disk. */
  appended(op: number, id: Checksum): void {
    if (this.prepares.get(op) !== id) return;
    this.prepares.delete(op);
    this.count(0, 1);
    this.note('info', 'a damaged prepare is here again', { op });
  }

  /** Checkpoints that the replica cannot read just now. One that is not among them any more was mended, or replaced. */
  sawCheckpoints(damaged: ReadonlySet<string>): void {
    if (damaged === this.checkpointsDamaged) return;
    const before = this.checkpointsDamaged;
    this.checkpointsDamaged = damaged;
    const found = [...damaged].filter((checksum) => !before.has(checksum)).length;
    const repaired = [...before].filter((checksum) => !damaged.has(checksum)).length;
    this.count(found, repaired);
    if (found > 0) this.note('warn', 'a checkpoint is damaged', {});
    if (repaired > 0) this.note('info', 'a damaged checkpoint is whole again, or was replaced by a newer one', {});
  }

  private count(found: number, repaired: number): void {
    this.found += found;
    this.repaired += repaired;
    const { metrics } = this.options.ports;
    if (found > 0) metrics.count('damage_found_total', found);
    if (repaired > 0) metrics.count('damage_repaired_total', repaired);
  }

  private arm(readBytes: number): void {
    const bytesPerSecond = Math.max(
      bytesPerSecondMin,
      (this.options.log()?.usedBytes() ?? 0) / Math.max(1, this.options.seconds),
    );
    const delayMs = Math.min(pauseMaxMs, Math.max(pauseMinMs, Math.ceil((readBytes * 1000) / bytesPerSecond)));
    this.options.ports.timers.set('scrub', delayMs);
  }

  private note(level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>): void {
    this.options.ports.journal.write(level, message, fields);
  }
}
