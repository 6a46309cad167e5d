import { unreachable } from '@kimberlite/base';
import type { HostPhase } from '@kimberlite/host';
import type { HealthCheck } from './health.ts';

/** What the checks look at; gathered at each request. */
export interface NodeCondition {
  readonly phase: HostPhase;
  /** Of the replica; undefined before it has booted. */
  readonly status: string | undefined;
  /** The checkpoint that is being read; null: none is. */
  readonly loading: { readonly op: number; readonly done: number; readonly parts: number } | null;
  /** Why it is quarantined, for people; null while it is not. */
  readonly divergence: string | null;
  readonly fatal: Error | null;
  readonly stopping: boolean;
  readonly replica: number;
  /** The replicas of the group that vote. */
  readonly voters: readonly number[];
  /** By other replica, what keeps it apart; null where the connection is up. */
  readonly peers: ReadonlyMap<number, string | null>;
}

export const liveChecks = ({ fatal }: NodeCondition): readonly HealthCheck[] => [
  { name: 'process', problem: fatal === null ? null : oneLine(fatal.message) },
];

export const startedChecks = (condition: NodeCondition): readonly HealthCheck[] => [
  { name: 'ports', problem: null },
  { name: 'log', problem: logProblem(condition.phase) },
  { name: 'state', problem: stateProblem(condition) },
];

export const readyChecks = (condition: NodeCondition): readonly HealthCheck[] => [
  ...startedChecks(condition),
  { name: 'replica', problem: replicaProblem(condition) },
  { name: 'peers', problem: peersProblem(condition) },
  { name: 'serving', problem: condition.stopping ? 'this node is being stopped' : null },
];

function logProblem(phase: HostPhase): string | null {
  switch (phase) {
    case 'new':
    case 'opening':
      return 'is being opened';
    case 'running':
    case 'stopping':
      return null;
    case 'stopped':
      return 'is closed';
    case 'failed':
      return 'has failed; see the log of this process';
    default:
      return unreachable(phase);
  }
}

function stateProblem({ loading }: NodeCondition): string | null {
  if (loading === null) return null;
  const { op, done, parts } = loading;
  return `is being read from the checkpoint at op ${op}: ${done} of ${parts} parts`;
}

function replicaProblem({ status, divergence }: NodeCondition): string | null {
  if (status === undefined) return 'has not booted yet';
  if (divergence !== null) return `is in ${status}: ${oneLine(divergence)}`;
  return status === 'normal' ? null : `is in ${status}`;
}

/** Without a majority nothing commits, whoever is primary. */
function peersProblem({ peers, replica, voters }: NodeCondition): string | null {
  const others = voters.filter((voter) => voter !== replica);
  const apart = others.flatMap((voter): [number, string][] => {
    const problem = peers.get(voter) ?? (peers.has(voter) ? null : 'it was never met');
    return problem === null ? [] : [[voter, problem]];
  });
  const together = voters.length - apart.length;
  if (together > voters.length / 2) return null;
  const reasons = apart.map(([peer, problem]) => `replica ${peer}: ${oneLine(problem)}`).join('; ');
  return `connects ${together} of ${voters.length} replicas, less than a majority (${reasons})`;
}

/** Each check is a line of its own. */
const oneLine = (text: string): string => text.replace(/\s*[\r\n]+\s*/g, ' ');
