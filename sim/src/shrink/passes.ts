import type { Failure } from '../checkers/checker.ts';
import type { FaultAction } from '../nemesis/action.ts';
import type { WorkloadOptions } from '../workload.ts';
import { type Candidate, isOfHistories, type Size } from './candidate.ts';
import {
  amongClients,
  amongReplicas,
  earlierCalm,
  faster,
  laterStart,
  lengthUs,
  shorterFault,
  shorterGap,
} from './change-script.ts';

/** The smallest run so far. It changes while a pass goes on, whenever one of its proposals is accepted. */
export interface Smallest {
  readonly candidate: Candidate;
  readonly size: Size;
  readonly failure: Failure;
  /** Calls its clients made. */
  readonly calls: number;
}

/** A run that may be smaller. */
export interface Proposal {
  readonly candidate: Candidate;
  /** Where it is cheap to be wrong: no more events than this are spent on it. */
  readonly eventsMax?: number;
  /** Less is asked of the run, so it is taken even where it is no smaller. */
  readonly asksLess?: true;
}

type Proposals = Generator<Proposal, void, void>;

/** Proposes runs that may be smaller. What it yields next may depend on what became of the last one. */
export type Pass = (smallest: () => Smallest) => Proposals;

const withScript = (candidate: Candidate, script: Candidate['script']): Proposal => ({
  candidate: { ...candidate, script },
});
/** Ops between two checkpoints that no run comes to. */
const noCheckpoints = 16_384;

const withPlan = (candidate: Candidate, plan: Partial<Candidate['plan']>): Proposal => ({
  candidate: { ...candidate, plan: { ...candidate.plan, ...plan } },
});

/**
 * A run that failed has nothing left to prove: no kinds that must strike (its faults are a list now), no number of
 * answers, no length. Without these the same run of healed code simply passes.
 */
function* demands(smallest: () => Smallest): Proposals {
  const none = { faults: [], acknowledgedMin: 0, simulatedSecondsMin: 0 };
  const { plan } = smallest().candidate;
  if (plan.faults.length + plan.acknowledgedMin + plan.simulatedSecondsMin === 0) return;
  const { failure, candidate } = smallest();
  const seconds = Math.min(plan.seconds, Math.ceil(failure.atUs / 100_000) / 10);
  yield { ...withPlan(candidate, { ...none, seconds }), asksLess: true };
  if (smallest().candidate === candidate) yield { ...withPlan(candidate, none), asksLess: true };
}

/** What comes after the faults, where the failure does not need it, and what a run is asked to prove. */
function* ending(smallest: () => Smallest): Proposals {
  const plan = (): Candidate['plan'] => smallest().candidate.plan;
  yield* demands(smallest);
  if (isOfHistories(smallest().failure)) yield { candidate: { ...smallest().candidate, endsWhenCalm: true } };
  if (plan().checkpointInterval < noCheckpoints) {
    yield withPlan(smallest().candidate, { checkpointInterval: noCheckpoints });
  }
  if (plan().finalBlackout) yield withPlan(smallest().candidate, { finalBlackout: false });
  if (plan().broken.length > 0) yield withPlan(smallest().candidate, { broken: [], mendsBroken: false });
  for (const patienceSeconds of [5, 10]) {
    if (patienceSeconds < plan().patienceSeconds) yield withPlan(smallest().candidate, { patienceSeconds });
  }
}

/** The beginning of the phase of faults, and its end. */
function* time(smallest: () => Smallest): Proposals {
  const horizonUs = (): number => Math.max(lengthUs(smallest().candidate.script), 0);
  for (const part of [0.95, 0.9, 0.75, 0.5, 0.25, 0.1]) {
    const { candidate } = smallest();
    yield withScript(candidate, laterStart(candidate.script, Math.floor(horizonUs() * part)));
  }
  for (const part of [0.1, 0.25, 0.5, 0.75, 0.9]) {
    const { candidate } = smallest();
    yield withScript(candidate, earlierCalm(candidate.script, Math.floor(horizonUs() * part)));
  }
  for (const factor of [0.25, 0.5, 0.75]) {
    const { candidate } = smallest();
    yield withScript(candidate, faster(candidate.script, factor));
  }
}

/** When a fault that is tried by itself strikes: the cluster has begun to answer by then. */
const soonUs = 50_000;
/** From its end to the end of all faults, where a run has to reach that to fail. */
const aftermathUs = 200_000;
/** What one fault by itself leads to, it leads to within a few timeouts. */
const aloneEventsMax = 2_000;
/** So few calls that those timeouts fit into so few events. */
const quietThinkUs = 100_000;

const lastingUs = (action: FaultAction): number => ('forUs' in action ? action.forUs : 0);

/** Of each kind the one that lasts longest, and the one that is over soonest. */
function extremes(script: readonly FaultAction[]): readonly FaultAction[] {
  const kinds = new Set(script.map(({ kind }) => kind));
  kinds.delete('calm');
  return [...kinds].flatMap((kind) => {
    const sorted = script.filter((action) => action.kind === kind).sort((a, b) => lastingUs(b) - lastingUs(a));
    return [...new Set([sorted[0], sorted.at(-1)])].flatMap((action) => action ?? []);
  });
}

/**
 * One fault by itself, done to each replica in turn: to a young cluster the primary of an old one is a backup. First
 * among few calls, then among as many as there were.
 */
function* alone(smallest: () => Smallest): Proposals {
  for (const action of extremes(smallest().candidate.script)) {
    const { candidate } = smallest();
    if (candidate.script.length <= 1) return;
    const { plan, script } = candidate;
    const calmUs = soonUs + lastingUs(action) + aftermathUs;
    const rest = script.some(({ kind }) => kind === 'calm') ? [{ kind: 'calm', atUs: calmUs } as const] : [];
    const quiet = { ...plan.workload, window: 1, thinkUs: Math.max(plan.workload.thinkUs, quietThinkUs) };
    for (const workload of [quiet, plan.workload]) {
      for (let by = 0; by < plan.nodes; by++) {
        const one = amongReplicas([{ ...action, atUs: soonUs }], (replica) => (replica + by) % plan.nodes);
        const proposal = withPlan({ ...candidate, script: [...one, ...rest] }, { workload });
        yield { ...proposal, eventsMax: aloneEventsMax };
      }
    }
  }
}

/** The whole of it under other seeds, each given a part of the events only: some fail early. */
function* early(smallest: () => Smallest): Proposals {
  const { seed } = smallest().candidate;
  for (const part of [0.05, 0.1, 0.25, 0.5]) {
    for (let by = 1; by <= 4; by++) {
      const { candidate, size } = smallest();
      yield { candidate: { ...candidate, seed: seed + by }, eventsMax: Math.floor(size.events * part) };
    }
  }
}

/** A smaller cluster: each choice of neighbours that may stay. */
function* nodes(smallest: () => Smallest): Proposals {
  for (const fewer of [1, 2, 3, 4, 5]) {
    const { candidate } = smallest();
    const { plan, script } = candidate;
    if (fewer >= plan.nodes) return;
    for (let first = 0; first < plan.nodes; first++) {
      const renamed = (replica: number): number | null => {
        const place = (replica - first + plan.nodes) % plan.nodes;
        return place < fewer ? place : null;
      };
      const weak = plan.weak.flatMap((replica) => renamed(replica) ?? []);
      const broken = plan.broken.flatMap(({ replica, how }) => {
        const other = renamed(replica);
        return other === null ? [] : [{ replica: other, how }];
      });
      yield withPlan({ ...candidate, script: amongReplicas(script, renamed) }, { nodes: fewer, weak, broken });
      if (smallest().candidate.plan.nodes === fewer) return;
    }
  }
}

/** Without half of the clients, then without each. */
function* clients(smallest: () => Smallest): Proposals {
  const keep = (kept: readonly number[]): Proposal => {
    const { candidate } = smallest();
    const { plan, script } = candidate;
    const some = plan.clients.filter((_, index) => kept.includes(index));
    return withPlan({ ...candidate, script: amongClients(script, kept) }, { clients: some });
  };
  const everyone = (): number[] => smallest().candidate.plan.clients.map((_, index) => index);
  for (const half of [0, 1]) {
    const all = everyone();
    if (all.length > 2) yield keep(all.filter((index) => (index < all.length / 2 ? 0 : 1) === half));
  }
  for (let index = everyone().length - 1; index >= 0; index--) {
    if (everyone().length > 1) yield keep(everyone().filter((other) => other !== index));
  }
}

/** Fewer calls, and simpler ones. */
function* calls(smallest: () => Smallest): Proposals {
  const change = (by: (workload: WorkloadOptions) => Partial<WorkloadOptions>): Proposal => {
    const { candidate } = smallest();
    const { workload } = candidate.plan;
    return withPlan(candidate, { workload: { ...workload, ...by(workload) } });
  };
  // A cluster that is asked nothing more would look like one that does not answer.
  if (smallest().failure.kind !== 'liveness') {
    for (const part of [0.05, 0.1, 0.25, 0.5, 0.75, 0.9]) {
      yield change(() => ({ callsMax: Math.ceil(smallest().calls * part) }));
    }
  }
  for (const factor of [16, 4, 2]) yield change(({ thinkUs }) => ({ thinkUs: thinkUs * factor }));
  if (smallest().candidate.plan.workload.window > 1) yield change(() => ({ window: 1 }));
  if (smallest().candidate.plan.workload.sharedRate > 0) yield change(() => ({ sharedRate: 0 }));
  for (const keys of [1, 2]) if (smallest().candidate.plan.workload.keys > keys) yield change(() => ({ keys }));
  for (const readRate of [0, 0.5, 0.9]) yield change(() => ({ readRate }));
  yield withPlan(smallest().candidate, { giveUpUs: 1_000_000 });
}

/** Delta debugging over the faults: without ever smaller pieces of the list, from the end. */
function* faults(smallest: () => Smallest): Proposals {
  let size = Math.ceil(smallest().candidate.script.length / 2);
  while (size >= 1) {
    for (let end = smallest().candidate.script.length; end > 0; end -= size) {
      const { candidate } = smallest();
      const start = Math.max(0, end - size);
      const rest = candidate.script.filter((action, i) => i < start || i >= end || action.kind === 'calm');
      if (rest.length < candidate.script.length) yield withScript(candidate, rest);
    }
    size = size === 1 ? 0 : Math.ceil(size / 2);
  }
}

/** Each fault sooner, and over sooner. */
function* moments(smallest: () => Smallest): Proposals {
  for (let index = smallest().candidate.script.length - 1; index >= 0; index--) {
    for (const factor of [0, 0.5]) {
      const { candidate } = smallest();
      yield withScript(candidate, shorterGap(candidate.script, index, factor));
    }
    for (const factor of [0.1, 0.5]) {
      const { candidate } = smallest();
      yield withScript(candidate, shorterFault(candidate.script, index, factor));
    }
  }
}

/** Other latencies and picks under the same plan: some are shorter by luck. */
const seedsTried = 12;
function* seeds(smallest: () => Smallest): Proposals {
  const first = smallest().candidate.seed;
  for (let by = 1; by <= seedsTried; by++) yield { candidate: { ...smallest().candidate, seed: first + by } };
}

/** Gives a proposal that fails to fail another chance or two: what it depends on may be a matter of luck. */
function luckily(pass: Pass, chances: number): Pass {
  return function* several(smallest) {
    for (const proposal of pass(smallest)) {
      const { size } = smallest();
      for (let chance = 0; chance <= chances && smallest().size === size; chance++) {
        yield { ...proposal, candidate: { ...proposal.candidate, seed: proposal.candidate.seed + chance } };
      }
    }
  };
}

/** In the order in which they are gone through, again and again while any of them gets anywhere. */
export const passes: readonly (readonly [name: string, pass: Pass])[] = [
  ['the ending', ending],
  ['one fault', luckily(alone, 1)],
  ['luck', early],
  ['nodes', luckily(nodes, 1)],
  ['time', time],
  ['clients', luckily(clients, 2)],
  ['calls', luckily(calls, 1)],
  ['faults', faults],
  ['moments', moments],
  ['seeds', seeds],
];
