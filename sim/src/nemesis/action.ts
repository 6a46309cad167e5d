import type { FlipPart } from './flip-state.ts';
import type { FileTarget } from './kinds.ts';

/** One direction between two replicas. */
export type LinkEnds = readonly [from: number, to: number];

/** A process that goes down, and for how long. */
export interface Outage {
  readonly replica: number;
  /** Microseconds from the action until it goes down. */
  readonly afterUs: number;
  /** Microseconds until it starts again. */
  readonly forUs: number;
}

/** Where on which disk. */
interface Spot {
  readonly replica: number;
  readonly file: string;
  readonly offset: number;
}

/** Of a prepare or of a header record. */
interface Patch {
  readonly replica: number;
  readonly target: 'segment' | 'headers';
}

/**
 * One thing that is done to a running cluster, with everything about it spelled out: no draw is left to make when
 * it strikes. A list of them is plain JSON; it can be kept, replayed, cut down and written by hand. Each kind has
 * one shape; `atUs` counts from the beginning of the phase of faults, and what lasts is mended after `forUs`.
 */
export type FaultAction =
  | { readonly atUs: number; readonly kind: 'loss' | 'duplication' | 'replay'; readonly rate: number }
  | { readonly atUs: number; readonly kind: 'reordering' }
  | {
      readonly atUs: number;
      readonly kind: 'slow-network';
      readonly latencyMinUs: number;
      readonly latencyMeanUs: number;
    }
  | { readonly atUs: number; readonly kind: 'narrow-network'; readonly bytesPerSecond: number }
  | {
      readonly atUs: number;
      readonly kind: 'partition' | 'isolate' | 'one-way' | 'bridge' | 'clog';
      readonly links: readonly LinkEnds[];
      readonly forUs: number;
    }
  /** Cut and whole in turn. */
  | {
      readonly atUs: number;
      readonly kind: 'flapping';
      readonly links: readonly LinkEnds[];
      readonly periodUs: number;
      readonly forUs: number;
    }
  /** So many frames of long ago arrive once more, of every type and from every view and incarnation so far. */
  | { readonly atUs: number; readonly kind: 'old-messages'; readonly count: number }
  /**
   * crash: the machine loses its power. kill: only the process ends. stop: it is asked to, and hands over. upgrade: it
   * comes back with the newer release.
   */
  | {
      readonly atUs: number;
      readonly kind: 'crash' | 'kill' | 'stop' | 'pause' | 'upgrade';
      readonly replica: number;
      readonly forUs: number;
    }
  /** After that many more calls of its ports: in the middle of a turn, between any two effects. */
  | {
      readonly atUs: number;
      readonly kind: 'crash-mid-turn' | 'crash-in-view-change';
      readonly replica: number;
      readonly calls: number;
      readonly forUs: number;
    }
  | { readonly atUs: number; readonly kind: 'crash-all'; readonly outages: readonly Outage[] }
  /** Everybody's power goes while this replica writes to such a file. */
  | {
      readonly atUs: number;
      readonly kind: 'power-cut-while-writing';
      readonly replica: number;
      readonly target: FileTarget;
      readonly outages: readonly Outage[];
    }
  | { readonly atUs: number; readonly kind: 'skew'; readonly replica: number; readonly skewUs: number }
  | { readonly atUs: number; readonly kind: 'drift'; readonly replica: number; readonly driftPpm: number }
  | {
      readonly atUs: number;
      readonly kind: 'clock-jump';
      readonly replica: number;
      readonly byUs: number;
      readonly forUs: number;
    }
  /** At the next write, or sync, of such a file the power goes. lost-writes: and nothing that was not synced survives. */
  | {
      readonly atUs: number;
      readonly kind: 'torn-write' | 'lost-writes';
      readonly replica: number;
      readonly target: FileTarget;
      readonly forUs: number;
    }
  /** At the next sync of the directory the power goes, and with it every name that was not synced. */
  | { readonly atUs: number; readonly kind: 'lost-names'; readonly replica: number; readonly forUs: number }
  /** The next one fails: the process has to stop, and is started again. */
  | {
      readonly atUs: number;
      readonly kind: 'failed-sync' | 'failed-write';
      readonly replica: number;
      readonly forUs: number;
    }
  | { readonly atUs: number; readonly kind: 'full-disk'; readonly replica: number; readonly forUs: number }
  /** That many times the latency of a healthy disk. */
  | {
      readonly atUs: number;
      readonly kind: 'slow-disk';
      readonly replica: number;
      readonly factor: number;
      readonly forUs: number;
    }
  /** One bit of a prepare, or of a header record. `op` says whose. */
  | ({ readonly atUs: number; readonly kind: 'rot' | 'rot-header'; readonly op: number; readonly bit: number } & Spot)
  | ({ readonly atUs: number; readonly kind: 'rot-superblock' | 'rot-file-header'; readonly bit: number } & Spot)
  /** The sector cannot be read until it is written again. */
  | ({ readonly atUs: number; readonly kind: 'bad-sector'; readonly op: number } & Spot)
  /** Reads fail at that rate, and may succeed the next time. */
  | {
      readonly atUs: number;
      readonly kind: 'read-errors';
      readonly replica: number;
      readonly rate: number;
      readonly forUs: number;
    }
  /** As if the op's last write had landed where another op's is, or nowhere: what was there before is there again. */
  | ({ readonly atUs: number; readonly kind: 'misdirected-write'; readonly op: number; readonly toOp: number } & Patch)
  | ({ readonly atUs: number; readonly kind: 'lost-write'; readonly op: number } & Patch)
  /** The next write of a copy of the superblock lands elsewhere in it, or nowhere, and is reported as done. */
  | {
      readonly atUs: number;
      readonly kind: 'superblock-astray';
      readonly replica: number;
      readonly fate: 'lost' | 'misdirected';
    }
  /** The machine and its disk are gone for good; an operator has an empty one take its place. */
  | { readonly atUs: number; readonly kind: 'lose-machine'; readonly replica: number }
  /**
   * An operator who goes on until it is done, or it is too late: `joins` is added and gets a vote, `leaves` is removed,
   * or both in one step. Null: nobody does.
   */
  | {
      readonly atUs: number;
      readonly kind: 'change-members';
      readonly joins: number | null;
      readonly leaves: number | null;
    }
  /** One value of that part of the replica's state changes in memory. `pick` says which. */
  | {
      readonly atUs: number;
      readonly kind: 'flip-state';
      readonly replica: number;
      readonly part: FlipPart;
      readonly pick: number;
    }
  | {
      readonly atUs: number;
      readonly kind: 'client-crash' | 'slow-reader';
      readonly client: number;
      readonly forUs: number;
    }
  | {
      readonly atUs: number;
      readonly kind: 'client-cut';
      readonly client: number;
      readonly replica: number;
      readonly forUs: number;
    }
  /** A client that breaks every rule of a session, at that replica. */
  | { readonly atUs: number; readonly kind: 'rude-client'; readonly replica: number }
  /** Sessions with a full window of requests each, sent at once after `leadUs`: together more than the queue takes. */
  | {
      readonly atUs: number;
      readonly kind: 'flood';
      readonly replica: number;
      readonly sessions: number;
      readonly leadUs: number;
    }
  /** More registrations than the session table has room for. */
  | { readonly atUs: number; readonly kind: 'session-flood'; readonly replica: number; readonly sessions: number }
  /** From here on damage may take more than the protocol can do without: it may stop, and must not lie. */
  | { readonly atUs: number; readonly kind: 'exceed' }
  /** The end of the phase of faults: nothing later in the list is done. */
  | { readonly atUs: number; readonly kind: 'calm' };

/** The shape that these kinds share: all kinds of one shape are named together. */
export type ActionOf<Kind extends FaultAction['kind']> = Extract<FaultAction, { readonly kind: Kind }>;

/** One line for the trace. */
export function describeAction(action: FaultAction): string {
  const { kind, atUs, ...rest } = action;
  const fields = Object.entries(rest).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  return fields.length === 0 ? kind : `${kind}: ${fields.join(', ')}`;
}
