import { type RandomState, randomChance, randomInt, randomPick } from '@kimberlite/base';
import { drawFaults } from './nemesis/draw.ts';
import type { FaultKind } from './nemesis/kinds.ts';
import type { RunOptions } from './options.ts';
import { shuffled } from './random.ts';
import type { WorkloadOptions } from './workload.ts';

/** How a replica may stay broken when the faults stop for the others. */
export const brokenWays = ['down', 'paused', 'cut', 'deaf', 'mute', 'clogged'] as const;
export type BrokenWay = (typeof brokenWays)[number];

/**
 * What is drawn from the seed before anything runs. Plain JSON: a run's plan and the list of its faults pin
 * everything but the seed's own draws of latencies and the like.
 */
export interface RunPlan {
  readonly nodes: number;
  /** Kinds of fault that are on. */
  readonly faults: readonly FaultKind[];
  /** Mean time between two faults that strike. */
  readonly meanIntervalUs: number;
  /** How long faults last, more or less. */
  readonly durationsUs: readonly number[];
  /** Virtual seconds of faults. */
  readonly seconds: number;
  /** Which code each client runs: the SDK's session, or the simulator's own plain one. */
  readonly clients: readonly ('sdk' | 'plain')[];
  readonly workload: WorkloadOptions;
  readonly giveUpUs: number;
  /** Ops between two checkpoints. */
  readonly checkpointInterval: number;
  /** Virtual seconds that each phase after the faults may take: well above every timeout of the protocol. */
  readonly patienceSeconds: number;
  /** Replicas whose disks may be damaged at will: fewer than it takes to keep the others from going on. */
  readonly weak: readonly number[];
  /** Replicas, of the weak, that stay broken when the faults stop for the rest. */
  readonly broken: readonly { readonly replica: number; readonly how: BrokenWay }[];
  /** At last they are mended too. Otherwise the run ends with them as they are. */
  readonly mendsBroken: boolean;
  /** At the end everything loses its power once more, and must still have everything. */
  readonly finalBlackout: boolean;
  /** The disks lose more than the protocol can do without: it may stop, and must not lie. */
  readonly exceeds: boolean;
  /** A run with fewer acknowledged commands is hollow. */
  readonly acknowledgedMin: number;
  /** So is one of fewer virtual seconds in all. */
  readonly simulatedSecondsMin: number;
}

const secondsMin = 9;
/** One run in so many has faults for that long; most are brief. What a run costs, it costs in calls and in time. */
const longRate = 0.1;
/** So much less for a brief one. */
const briefBySeconds = 3;
/** And so much closer together are its faults. */
const briefIntervalFactor = 0.65;
/** In a brief run a burst becomes few ops, so checkpoints come sooner too. */
const briefCheckpointIntervals = [8, 12, 24, 48, 16_384];
/** These wait for a file that comes or goes, and checkpoints are such files: soon enough for a run of few ops. */
const waitingForFiles: ReadonlySet<FaultKind> = new Set(['full-disk', 'lost-names']);
const fileIntervalMax = 12;
/** A run has some 250 ops: checkpoints all the time, now and then, or never. */
const checkpointIntervals = [16, 24, 48, 96, 16_384];
const damaging: ReadonlySet<FaultKind> = new Set(['rot', 'rot-header', 'rot-superblock', 'bad-sector']);

/** The plan a seed draws, with whatever the options pin put in its place. */
export function planRun(random: RandomState, options: RunOptions): RunPlan {
  const pinned = options.plan ?? {};
  const asked = options.seconds ?? pinned.seconds;
  const nodes = options.nodes ?? pinned.nodes ?? randomPick(random, [1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6]);
  const faults = options.faults ?? pinned.faults ?? drawFaults(random, nodes);
  const drawnSeconds = asked ?? randomInt(random, secondsMin, 12);
  const weak = shuffled(
    random,
    Array.from({ length: nodes }, (_, index) => index),
  ).slice(0, Math.ceil(nodes / 2) - 1);
  const long = drawPlan(random, { nodes, faults, seconds: drawnSeconds, weak });
  const isLong = asked !== undefined || randomChance(random, longRate);
  const plan = isLong ? long : makeBrief(random, long);
  const drawn = { ...plan, ...pinned, nodes, faults, seconds: asked ?? plan.seconds };
  // A plan that was cut down to fewer nodes still leaves a quorum unhurt.
  const inside = drawn.weak.filter((replica) => replica < nodes).slice(0, weak.length);
  return { ...drawn, weak: inside, broken: drawn.broken.filter(({ replica }) => inside.includes(replica)) };
}

function drawPlan(random: RandomState, known: Pick<RunPlan, 'nodes' | 'faults' | 'seconds' | 'weak'>): RunPlan {
  const { faults, seconds, weak } = known;
  const clients = Array.from({ length: randomInt(random, 2, 6) }, () => randomPick(random, ['sdk', 'plain'] as const));
  const broken = randomChance(random, 0.5) ? weak.slice(0, randomInt(random, 1, 2)) : [];
  const isShort = seconds < secondsMin;
  return {
    ...known,
    meanIntervalUs: randomPick(random, [250_000, 500_000, 1_000_000]),
    durationsUs: randomPick(random, [
      [20_000, 150_000],
      [20_000, 150_000, 500_000, 1_500_000],
      [500_000, 1_500_000],
    ]),
    clients,
    workload: drawWorkload(random, clients.length),
    giveUpUs: randomPick(random, [1_000_000, 3_000_000, 8_000_000]),
    patienceSeconds: 20,
    broken: broken.map((replica) => ({ replica, how: randomPick(random, brokenWays) })),
    mendsBroken: randomChance(random, 0.6),
    finalBlackout: randomChance(random, 0.3),
    exceeds: faults.some((kind) => damaging.has(kind)) && randomChance(random, 0.06),
    acknowledgedMin: isShort ? 20 * seconds : 200,
    simulatedSecondsMin: isShort ? seconds : 10,
    checkpointInterval: randomPick(random, checkpointIntervals),
  };
}

/** As many faults and as many commands in less time, and no more than it takes. */
function makeBrief(random: RandomState, plan: RunPlan): RunPlan {
  const interval = randomPick(random, briefCheckpointIntervals);
  const wantsFiles = plan.faults.some((kind) => waitingForFiles.has(kind));
  return {
    ...plan,
    seconds: plan.seconds - briefBySeconds,
    meanIntervalUs: Math.floor(briefIntervalFactor * plan.meanIntervalUs),
    checkpointInterval: wantsFiles ? Math.min(interval, fileIntervalMax) : interval,
    workload: drawBriefWorkload(random, plan.clients.length),
  };
}

/** All at once, so that a prepare has many requests and a sync many prepares; or one call after the other. */
function drawBriefWorkload(random: RandomState, clients: number): WorkloadOptions {
  const bursts = randomChance(random, 0.75);
  const window = bursts ? randomPick(random, [3, 5, 8]) : randomPick(random, [1, 1, 2, 4]);
  const callsPerSecond = randomPick(random, bursts ? [70, 110, 160] : [60, 80, 110]);
  return {
    keys: randomPick(random, [2, 4, 8]),
    window,
    thinkUs: Math.floor((clients * window * 1_000_000) / callsPerSecond),
    plenty: 200,
    readRate: randomPick(random, [0.05, 0.1, 0.25]),
    sharedRate: randomPick(random, [0, 0.1]),
    bursts,
    readerPauses: 3,
  };
}

function drawWorkload(random: RandomState, clients: number): WorkloadOptions {
  const window = randomPick(random, [1, 1, 2, 4]);
  const callsPerSecond = randomPick(random, [60, 90, 130]);
  return {
    keys: randomPick(random, [2, 4, 8]),
    window,
    thinkUs: Math.floor((clients * window * 1_000_000) / callsPerSecond),
    plenty: 220,
    readRate: randomPick(random, [0.1, 0.2, 0.4]),
    sharedRate: randomPick(random, [0, 0.1]),
  };
}
