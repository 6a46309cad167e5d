import { createHash } from 'node:crypto';
import {
  assert,
  type Checksum,
  type ClusterId,
  clusterId,
  crc32,
  type Hasher,
  makePrepare,
  type Op,
  type Prepare,
  type RecoveredLog,
  type Result,
  replicaId,
  rootHeader,
  seedRandom,
  type View,
} from '@kimberlite/base';
import { type Geometry, type LogError, type LogIdentity, type OpenedLog, formatLog, openLog } from '@kimberlite/log';
import { createSimDisk, type DiskFaults, type SimDisk } from '../../../sim/src/disk.ts';

export const cluster: ClusterId = clusterId('00112233445566778899aabbccddeeff');
/** The values of base's own hasher, faster. */
export const hasher: Hasher = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 32) as Checksum;
export const identity: LogIdentity = { cluster, replica: replicaId(1), hasher, crc32 };
/** Small files, so that tests cross their borders and check every byte. */
export const smallGeometry: Geometry = { segmentBytes: 1_179_648, headerSlots: 16 };

/** Simulated time for one disk: completions by time, then in the order they were asked for. */
export class Clockwork {
  private readonly queue: { at: number; sequence: number; fn: () => void }[] = [];
  private now = 0;
  private sequence = 0;
  steps = 0;

  readonly schedule = (delayUs: number, fn: () => void): void => {
    this.queue.push({ at: this.now + delayUs, sequence: this.sequence++, fn });
    this.queue.sort((a, b) => a.at - b.at || a.sequence - b.sequence);
  };

  step(): boolean {
    const next = this.queue.shift();
    if (next === undefined) return false;
    this.now = next.at;
    this.steps += 1;
    next.fn();
    return true;
  }

  /** Runs everything; bounded. */
  run(until: () => boolean = () => false): void {
    for (let i = 0; i < 1_000_000 && !until(); i++) if (!this.step()) return;
  }

  /** Runs until the callback was called and returns what it was given. */
  await<T>(start: (done: (value: T) => void) => void): T {
    const box: { value?: T } = {};
    start((value) => {
      box.value = value;
    });
    assert(!('value' in box), 'a completion never comes before the call has returned');
    this.run(() => 'value' in box);
    assert('value' in box, 'the call completed');
    return box.value as T;
  }
}

export interface Bench {
  readonly clockwork: Clockwork;
  readonly disk: SimDisk;
  fatal: Error[];
}

export function bench(seed = 1, faults: Partial<DiskFaults> = {}, contents?: ReadonlyMap<string, Uint8Array>): Bench {
  const clockwork = new Clockwork();
  const options = { schedule: clockwork.schedule, random: seedRandom(seed), faults };
  const disk = createSimDisk(contents === undefined ? options : { ...options, contents });
  return { clockwork, disk, fatal: [] };
}

export const unwrap = <T>(result: Result<T, LogError>): T => {
  if (!result.ok) throw new Error(`${result.error.kind}: ${result.error.message}`);
  return result.value;
};

export function present<T>(value: T | undefined | null): T {
  assert(value !== undefined && value !== null, 'the value is there');
  return value;
}

export function format(
  b: Bench,
  payload = new Uint8Array([1, 2, 3]),
  geometry = smallGeometry,
): Result<void, LogError> {
  return b.clockwork.await((done) => formatLog({ ...identity, disk: b.disk, superblock: payload, geometry }, done));
}

export function open(
  b: Bench,
  over: Partial<LogIdentity> = {},
  onFull: (full: boolean) => void = () => {},
): Result<OpenedLog, LogError> {
  const onFatal = (error: Error): void => void b.fatal.push(error);
  return b.clockwork.await((done) => openLog({ ...identity, ...over, disk: b.disk, onFull, onFatal }, done));
}

export function formatted(seed = 1, geometry = smallGeometry): Bench {
  const b = bench(seed);
  unwrap(format(b, undefined, geometry));
  return b;
}

const root = rootHeader(cluster, hasher);

/** A chain of prepares from op 1. `sizes` are the bytes of the bodies. */
export function chain(sizes: readonly number[], view = 0, from: Prepare | null = null): Prepare[] {
  const prepares: Prepare[] = [];
  let parent = from === null ? root.id : from.header.id;
  let op = from === null ? 0 : from.header.op;
  for (const size of sizes) {
    op += 1;
    const body = new Uint8Array(size).map((_, i) => (i * 7 + op + view) & 0xff);
    const prepare = makePrepare({ cluster, op, view, parent, timestamp: op * 1000, body }, hasher);
    prepares.push(prepare);
    parent = prepare.header.id;
  }
  return prepares;
}

export const append = (b: Bench, opened: OpenedLog, prepares: readonly Prepare[]): void => {
  let left = prepares.length;
  for (const prepare of prepares) {
    opened.log.append(prepare, () => {
      left -= 1;
    });
  }
  // To the end: header records follow the completion.
  b.clockwork.run();
  assert(left === 0, 'every append completed');
};

export const close = (b: Bench, opened: OpenedLog): void =>
  b.clockwork.await<void>((done) => opened.log.close(() => done()));

export const read = (b: Bench, opened: OpenedLog, op: number, id: Checksum): Prepare | null =>
  b.clockwork.await((done) => opened.log.read(op as Op, id, done));

/** Settled in `view`, with nothing in the suffix unless given. */
export function recover(
  opened: OpenedLog,
  over: { view?: number; logView?: number; suffix?: readonly Prepare[] } = {},
): RecoveredLog {
  const view = over.view ?? 0;
  const suffix = (over.suffix ?? []).map(({ header }) => ({ op: header.op, id: header.id, header }));
  return opened.recover({ view: view as View, logView: (over.logView ?? view) as View, suffix });
}

export const states = (recovered: RecoveredLog): string[] => recovered.slots.map((slot) => slot.state);
