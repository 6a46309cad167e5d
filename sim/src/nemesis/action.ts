import { unreachable } from '@kimberlite/base';

/** One direction between two replicas. */
export type LinkEnds = readonly [from: number, to: number];

interface At {
  /** Microseconds since the phase of faults began. */
  readonly atUs: number;
}

interface Lasting {
  /** Microseconds until it is mended: a crashed process starts again, a cut link carries again. */
  readonly forUs: number;
}

/**
 * One thing that is done to a running cluster, with everything about it spelled out: no draw is left to make when
 * it strikes. A list of them is plain JSON; it can be kept, replayed, cut down and written by hand.
 */
export type FaultAction = At &
  (
    | { readonly kind: 'loss' | 'duplication' | 'replay'; readonly rate: number }
    | { readonly kind: 'reordering' }
    | { readonly kind: 'slow-network'; readonly latencyMinUs: number; readonly latencyMeanUs: number }
    | ({
        readonly kind: 'partition' | 'isolate' | 'one-way' | 'bridge' | 'clog';
        readonly links: readonly LinkEnds[];
      } & Lasting)
    | ({ readonly kind: 'crash' | 'pause'; readonly replica: number } & Lasting)
    /** After that many more calls of its ports: in the middle of a turn, between any two effects. */
    | ({ readonly kind: 'crash-mid-turn'; readonly replica: number; readonly calls: number } & Lasting)
    | {
        readonly kind: 'crash-all';
        readonly crashes: readonly ({ readonly replica: number; readonly afterUs: number } & Lasting)[];
      }
    | { readonly kind: 'skew'; readonly replica: number; readonly skewUs: number; readonly driftPpm: number }
    | ({ readonly kind: 'clock-jump'; readonly replica: number; readonly skewUs: number } & Lasting)
    | ({ readonly kind: 'client-crash'; readonly client: number } & Lasting)
    | ({ readonly kind: 'client-cut'; readonly client: number; readonly replica: number } & Lasting)
    /** That many times the latency of a healthy disk. */
    | { readonly kind: 'slow-disk'; readonly replica: number; readonly factor: number }
    | {
        readonly kind: 'rot';
        readonly replica: number;
        readonly file: string;
        readonly offset: number;
        readonly bit: number;
      }
    /** The end of the phase of faults: nothing later in the list is done. */
    | { readonly kind: 'calm' }
  );

const linksText = (links: readonly LinkEnds[]): string => links.map(([from, to]) => `${from}→${to}`).join(' ');

/** One line for the trace. */
export function describeAction(action: FaultAction): string {
  const { kind } = action;
  switch (action.kind) {
    case 'loss':
    case 'duplication':
    case 'replay':
      return `${kind} at a rate of ${action.rate}`;
    case 'reordering':
    case 'calm':
      return kind;
    case 'slow-network':
      return `${kind} of ${action.latencyMinUs} us, mean ${action.latencyMeanUs} us`;
    case 'partition':
    case 'isolate':
    case 'one-way':
    case 'bridge':
    case 'clog':
      return `${kind} ${linksText(action.links)} for ${action.forUs} us`;
    case 'crash':
    case 'pause':
      return `${kind} at ${action.replica} for ${action.forUs} us`;
    case 'crash-mid-turn':
      return `${kind} at ${action.replica} after ${action.calls} calls, for ${action.forUs} us`;
    case 'crash-all':
      return `${kind} ${action.crashes.map(({ replica, afterUs, forUs }) => `${replica} after ${afterUs} us for ${forUs} us`).join(', ')}`;
    case 'skew':
      return `${kind} at ${action.replica} of ${action.skewUs} us and ${action.driftPpm} ppm`;
    case 'clock-jump':
      return `${kind} at ${action.replica} by ${action.skewUs} us for ${action.forUs} us`;
    case 'client-crash':
      return `${kind} of client ${action.client} for ${action.forUs} us`;
    case 'client-cut':
      return `${kind} between client ${action.client} and ${action.replica} for ${action.forUs} us`;
    case 'slow-disk':
      return `${kind} at ${action.replica} by ${action.factor}`;
    case 'rot':
      return `${kind} at ${action.replica} in ${action.file} at ${action.offset} bit ${action.bit}`;
    default:
      return unreachable(action);
  }
}
