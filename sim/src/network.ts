import { type RandomState, randomChance } from '@kimberlite/base';
import { FrameArchive } from './frame-archive.ts';
import { randomExponential } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { digestBytes, type Trace } from './trace.ts';

/** What one link does to frames. */
export interface LinkFaults {
  readonly latencyMinUs: number;
  readonly latencyMeanUs: number;
  readonly lossRate: number;
  readonly duplicateRate: number;
  /** Frames overtake each other; otherwise a link keeps their order, as a connection does. */
  readonly reorder: boolean;
  /** Chance that sending a frame also delivers an old one of the same link again. */
  readonly replayRate: number;
  /** Bytes a link carries a second; 0 for no limit. */
  readonly bytesPerSecond: number;
}

export const calmLink: LinkFaults = {
  latencyMinUs: 100,
  latencyMeanUs: 300,
  lossRate: 0,
  duplicateRate: 0,
  reorder: false,
  replayRate: 0,
  bytesPerSecond: 0,
};

/** Frames under way on one link; more are dropped, as a bounded send queue does. */
const linkFramesMax = 4096;

interface Link {
  cut: boolean;
  clogged: boolean;
  lastArrivalUs: number;
  /** Until then it carries what was sent before, where a link carries only so many bytes a second. */
  busyUntilUs: number;
  inFlight: number;
  readonly held: Uint8Array[];
  readonly old: FrameArchive;
}

export interface NetworkCounts {
  sent: number;
  sentBytes: number;
  delivered: number;
  lost: number;
  duplicated: number;
  reordered: number;
  replayed: number;
  cut: number;
  clogged: number;
}

export function randomLatencyUs(random: RandomState, faults: LinkFaults): number {
  const mean = Math.max(0, faults.latencyMeanUs - faults.latencyMinUs);
  return Math.floor(faults.latencyMinUs + randomExponential(random, mean));
}

/**
 * The links between replicas: bytes, the frames of the real codec. Each direction of a pair is a link of its
 * own, so partitions may be one-way. Sending never fails; what is lost is simply never delivered.
 */
export class SimNetwork {
  readonly counts: NetworkCounts = {
    sent: 0,
    sentBytes: 0,
    delivered: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    replayed: 0,
    cut: 0,
    clogged: 0,
  };
  private readonly scheduler: Scheduler;
  private readonly trace: Trace;
  private readonly random: RandomState;
  private readonly links: Link[][];
  private readonly deliver: (from: number, to: number, frame: Uint8Array) => void;
  private faults: LinkFaults = calmLink;
  /** Every link keeps some of what it carries, to send it again. */
  keepsOld = false;

  constructor(options: {
    readonly scheduler: Scheduler;
    readonly trace: Trace;
    readonly nodes: number;
    readonly deliver: (from: number, to: number, frame: Uint8Array) => void;
  }) {
    this.scheduler = options.scheduler;
    this.trace = options.trace;
    this.deliver = options.deliver;
    this.random = options.scheduler.random('network');
    this.links = Array.from({ length: options.nodes }, () =>
      Array.from({ length: options.nodes }, () => ({
        cut: false,
        clogged: false,
        lastArrivalUs: 0,
        busyUntilUs: 0,
        inFlight: 0,
        held: [],
        old: new FrameArchive(),
      })),
    );
  }

  get linkFaults(): LinkFaults {
    return this.faults;
  }

  setFaults(faults: LinkFaults): void {
    this.faults = faults;
  }

  send(from: number, to: number, frame: Uint8Array): void {
    const link = this.links[from]?.[to];
    if (link === undefined || from === to) return;
    this.counts.sent += 1;
    this.counts.sentBytes += frame.length;
    this.trace.event(
      this.scheduler.nowUs,
      'send',
      digestBytes(frame, from * 16 + to),
      () => `${from}→${to} ${frame.length} B`,
    );
    if (link.cut) {
      this.counts.cut += 1;
      return;
    }
    if (link.clogged) {
      this.counts.clogged += 1;
      if (link.held.length < linkFramesMax) link.held.push(frame);
      return;
    }
    this.launch(from, to, link, frame);
  }

  private launch(from: number, to: number, link: Link, frame: Uint8Array): void {
    const { faults, random } = this;
    if (randomChance(random, faults.lossRate) || link.inFlight >= linkFramesMax) {
      this.counts.lost += 1;
      return;
    }
    this.arrive(from, to, link, frame);
    if (randomChance(random, faults.duplicateRate)) {
      this.counts.duplicated += 1;
      this.arrive(from, to, link, frame);
    }
    if (!this.keepsOld) return;
    link.old.add(random, frame);
    if (faults.replayRate > 0 && randomChance(random, faults.replayRate)) this.sendOld(from, to);
  }

  /** One frame of long ago arrives once more; false when none was kept. */
  sendOld(from: number, to: number): boolean {
    const link = this.links[from]?.[to];
    const old = link?.old.draw(this.random) ?? null;
    if (link === undefined || old === null || link.cut || link.inFlight >= linkFramesMax) return false;
    this.counts.replayed += 1;
    this.arrive(from, to, link, old);
    return true;
  }

  private arrive(from: number, to: number, link: Link, frame: Uint8Array): void {
    const { scheduler, faults } = this;
    let sentUs = scheduler.nowUs;
    if (faults.bytesPerSecond > 0) {
      sentUs = Math.max(sentUs, link.busyUntilUs) + Math.ceil((frame.length / faults.bytesPerSecond) * 1_000_000);
      link.busyUntilUs = sentUs;
    }
    let at = sentUs + randomLatencyUs(this.random, faults);
    if (at < link.lastArrivalUs) {
      if (faults.reorder) this.counts.reordered += 1;
      else at = link.lastArrivalUs;
    }
    link.lastArrivalUs = Math.max(link.lastArrivalUs, at);
    link.inFlight += 1;
    scheduler.after(at - scheduler.nowUs, () => {
      link.inFlight -= 1;
      // A cut also loses what is under way: a broken connection does.
      if (link.cut) {
        this.counts.cut += 1;
        return;
      }
      this.counts.delivered += 1;
      this.deliver(from, to, frame);
    });
  }

  /** Cuts or mends one direction. */
  cut(from: number, to: number, cut: boolean): void {
    const link = this.links[from]?.[to];
    if (link !== undefined) link.cut = cut;
  }

  isCut(from: number, to: number): boolean {
    return this.links[from]?.[to]?.cut ?? false;
  }

  /** Holds frames back on one direction; letting go sends them all at once. */
  clog(from: number, to: number, clogged: boolean): void {
    const link = this.links[from]?.[to];
    if (link === undefined) return;
    link.clogged = clogged;
    if (clogged) return;
    for (const frame of link.held.splice(0)) this.launch(from, to, link, frame);
  }

  /** Both directions between every pair on different sides. */
  partition(sideOf: (node: number) => number): void {
    this.links.forEach((row, from) => {
      row.forEach((link, to) => {
        link.cut = sideOf(from) !== sideOf(to);
      });
    });
  }

  /** Nothing is cut or clogged any more. */
  heal(): void {
    this.links.forEach((row, from) => {
      row.forEach((link, to) => {
        link.cut = false;
        if (link.clogged) this.clog(from, to, false);
      });
    });
  }

  /** A node went down: what was under way to and from it is lost with its connections. */
  reset(node: number): void {
    this.links.forEach((row, from) => {
      row.forEach((link, to) => {
        if (from === node || to === node) link.held.length = 0;
      });
    });
  }
}
