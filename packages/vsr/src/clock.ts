import { timestamp } from '@kimberlite/base';
import { markToTell, noteReports, reportsToTell } from './divergence.ts';
import type { PingMessage, PongMessage } from './message.ts';
import { isVoter, type Replica } from './replica.ts';
import { broadcast, hasPeers, send, setTimer } from './send.ts';

// Clock agreement: offsets sampled by ping and pong, and the interval that most clocks share (Marzullo's algorithm).

/** One measurement of a peer's wall clock against the own monotonic clock. */
export interface ClockSample {
  /** Peer's wall clock minus own monotonic clock, microseconds; right to within `errorUs`. */
  readonly offsetUs: number;
  readonly errorUs: number;
  readonly takenUs: number;
}

export interface Interval {
  readonly lowUs: number;
  readonly highUs: number;
}

/** The interval shared by the most sources, the lowest of equals, and how many share it. */
export function marzullo(
  intervals: readonly Interval[],
): { readonly shared: Interval; readonly sources: number } | null {
  const edges = intervals.flatMap(({ lowUs, highUs }) => [
    { at: lowUs, opens: 1 },
    { at: highUs, opens: -1 },
  ]);
  // At one place openings come first: intervals that touch do overlap.
  edges.sort((a, b) => a.at - b.at || b.opens - a.opens);
  let open = 0;
  let sources = 0;
  let shared: Interval | null = null;
  for (const [i, edge] of edges.entries()) {
    open += edge.opens;
    const next = edges[i + 1];
    if (open > sources && next !== undefined) {
      sources = open;
      shared = { lowUs: edge.at, highUs: next.at };
    }
  }
  return shared === null ? null : { shared, sources };
}

/**
 * agreed: a majority, self included, shares the interval. outvoted: a majority agrees without this clock.
 * unknown: no majority agrees on anything (yet).
 */
export type ClockVerdict =
  | { readonly type: 'agreed'; readonly interval: Interval }
  | { readonly type: 'outvoted' | 'unknown' };

const around = (offsetUs: number, errorUs: number): Interval => ({
  lowUs: offsetUs - errorUs,
  highUs: offsetUs + errorUs,
});

export function clockVerdict<S>(r: Replica<S>): ClockVerdict {
  const toleranceUs = (r.timing.clockToleranceMs * 1000) / 2;
  const own = around(r.realtime - r.now, toleranceUs);
  const peers: Interval[] = [];
  for (const [replica, sample] of r.samples) {
    // Standbys have no say in what time it is.
    if (!isVoter(r, replica)) continue;
    if (r.now - sample.takenUs > r.timing.clockSampleLifeMs * 1000) continue;
    peers.push(around(sample.offsetUs, sample.errorUs + toleranceUs));
  }
  const { majority } = r.quorums;
  // With itself: only what overlaps the own interval counts.
  const overlapping = peers
    .filter((p) => p.lowUs <= own.highUs && p.highUs >= own.lowUs)
    .map((p) => ({ lowUs: Math.max(p.lowUs, own.lowUs), highUs: Math.min(p.highUs, own.highUs) }));
  const withSelf = marzullo([own, ...overlapping]);
  if (withSelf !== null && withSelf.sources >= majority) return { type: 'agreed', interval: withSelf.shared };
  const without = marzullo(peers);
  if (without !== null && without.sources >= majority) r.mark('clock-outvoted');
  return { type: without !== null && without.sources >= majority ? 'outvoted' : 'unknown' };
}

/** The timestamp for the next prepare, strictly above every one ever seen (pitfall 17); null without agreement. */
export function nextTimestamp<S>(r: Replica<S>): number | null {
  const verdict = clockVerdict(r);
  if (verdict.type !== 'agreed') return null;
  const { lowUs, highUs } = verdict.interval;
  const bounded = Math.min(Math.max(r.realtime, Math.ceil(r.now + lowUs)), Math.floor(r.now + highUs));
  return timestamp(Math.max(Math.floor(bounded), r.timestamp + 1));
}

/** Own wall clock minus the middle of what a majority agrees on, microseconds. */
export function clockOffsetUs<S>(r: Replica<S>): number | null {
  const verdict = clockVerdict(r);
  if (verdict.type !== 'agreed') return null;
  return Math.round(r.realtime - r.now - (verdict.interval.lowUs + verdict.interval.highUs) / 2);
}

export function onPingTimer<S>(r: Replica<S>): void {
  if (!hasPeers(r)) return;
  const [reports, checkpoint] = [reportsToTell(r), markToTell(r)];
  broadcast(r, { type: 'ping', from: r.self, sentAtUs: r.now, reports, checkpoint });
  const agreed = clockVerdict(r).type === 'agreed';
  setTimer(r, 'ping', agreed ? r.timing.pingMs : r.timing.pingUnsynchronizedMs);
}

export function onPing<S>(r: Replica<S>, m: PingMessage): void {
  noteReports(r, m.from, m.reports, m.checkpoint === null ? [] : [m.checkpoint]);
  send(r, m.from, { type: 'pong', from: r.self, sentAtUs: m.sentAtUs, realtimeUs: r.realtime });
}

export function onPong<S>(r: Replica<S>, m: PongMessage): void {
  const roundTripUs = r.now - m.sentAtUs;
  if (roundTripUs < 0 || roundTripUs > r.timing.clockSampleLifeMs * 1000) return;
  const errorUs = roundTripUs / 2;
  const sample: ClockSample = { offsetUs: m.realtimeUs - (m.sentAtUs + errorUs), errorUs, takenUs: r.now };
  const old = r.samples.get(m.from);
  // A quick answer says more than a slow one, for as long as it is fresh.
  const fresh = old !== undefined && r.now - old.takenUs < (r.timing.clockSampleLifeMs * 1000) / 4;
  if (fresh && old.errorUs < errorUs) return;
  r.samples.set(m.from, sample);
}
