/** Kinds of fault a run may draw. */
export const faultKinds = [
  // What every link does all the time.
  'loss',
  'duplication',
  'reordering',
  'replay',
  'slow-network',
  'narrow-network',
  // Memory.
  'flip-state',
  // What strikes links now and then.
  'partition',
  'isolate',
  'one-way',
  'bridge',
  'flapping',
  'clog',
  'old-messages',
  // Processes and machines.
  'crash',
  'kill',
  'stop',
  'crash-mid-turn',
  'crash-in-view-change',
  'crash-all',
  'power-cut-while-writing',
  'pause',
  'upgrade',
  // Clocks.
  'skew',
  'drift',
  'clock-jump',
  // Disks, as far as nothing that was synced is touched.
  'torn-write',
  'lost-writes',
  'lost-names',
  'failed-sync',
  'failed-write',
  'full-disk',
  'slow-disk',
  // Disks that lose or change what was synced.
  'rot',
  'rot-header',
  'rot-superblock',
  'rot-file-header',
  'bad-sector',
  'read-errors',
  'misdirected-write',
  'lost-write',
  'superblock-astray',
  'lose-machine',
  // Clients.
  'client-crash',
  'client-cut',
  'slow-reader',
  'rude-client',
  'flood',
  'session-flood',
  // Who the replicas are.
  'change-members',
] as const;
export type FaultKind = (typeof faultKinds)[number];

interface Traits {
  /** Holds for the whole phase, rather than strikes now and then. */
  readonly ambient?: true;
  /** Means nothing in a smaller group. */
  readonly nodesMin?: number;
  /** Of the chance that other kinds have of being drawn: what costs much is drawn seldom. */
  readonly weight?: number;
  /**
   * A campaign that names no kinds does not draw it: the whole run has to begin otherwise, with machines of an older
   * release, and the draws of every seed would be others.
   */
  readonly onlyAsked?: true;
  /** Likely to cost the primary its view. */
  readonly unseats?: true;
}

const peers: Traits = { nodesMin: 2 };
/** Needs a replica that may be damaged at will: where a quorum does without one. */
const weak: Traits = { nodesMin: 3 };
const ambientPeers: Traits = { ambient: true, nodesMin: 2 };

export const faultTraits: Readonly<Record<FaultKind, Traits>> = {
  loss: ambientPeers,
  duplication: ambientPeers,
  reordering: ambientPeers,
  replay: ambientPeers,
  'slow-network': { ambient: true },
  'narrow-network': ambientPeers,
  partition: { ...peers, unseats: true },
  isolate: { ...peers, unseats: true },
  'one-way': { ...peers, unseats: true },
  bridge: { nodesMin: 3, unseats: true },
  flapping: { ...peers, unseats: true },
  clog: { ...peers, unseats: true },
  'old-messages': peers,
  crash: { unseats: true },
  kill: { unseats: true },
  stop: { unseats: true },
  'crash-mid-turn': { unseats: true },
  'crash-in-view-change': { ...peers, unseats: true },
  'crash-all': { unseats: true },
  'power-cut-while-writing': { unseats: true },
  pause: { unseats: true },
  upgrade: { unseats: true, onlyAsked: true },
  skew: { ambient: true },
  drift: { ambient: true },
  'clock-jump': {},
  'torn-write': { unseats: true },
  'lost-writes': { unseats: true },
  'lost-names': { unseats: true },
  'failed-sync': { unseats: true },
  'failed-write': { unseats: true },
  'full-disk': { unseats: true },
  'slow-disk': {},
  rot: peers,
  'rot-header': weak,
  'rot-superblock': {},
  'rot-file-header': {},
  'bad-sector': peers,
  'read-errors': weak,
  'misdirected-write': weak,
  'lost-write': weak,
  'superblock-astray': weak,
  'lose-machine': { ...weak, weight: 0.5 },
  'flip-state': weak,
  'client-crash': {},
  'client-cut': {},
  'slow-reader': {},
  'rude-client': {},
  flood: { ...peers, weight: 0.15 },
  'session-flood': { weight: 0.1 },
  'change-members': { weight: 0.5, unseats: true },
};

export const isAmbient = (kind: FaultKind): boolean => faultTraits[kind].ambient === true;

/** Files of a data directory by what they hold. */
export type FileTarget = 'segment' | 'headers' | 'superblock';

export const isOfTarget = (file: string, target: FileTarget): boolean => file.startsWith(target);
