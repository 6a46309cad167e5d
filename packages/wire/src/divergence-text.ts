import { unreachable } from '@kimberlite/base';
import type { DivergenceStatus } from '@kimberlite/vsr';

/** What happened to a replica that is quarantined, and what is being done, in one line for people. */
export function describeDivergence(divergence: DivergenceStatus): string {
  return `${whatHappened(divergence)}; ${whatIsDone(divergence)}`;
}

/** Of a hash as much as tells it from another. */
const short = (hash: string): string => hash.slice(0, 8);

function whatHappened({ cause, op, own, majority }: DivergenceStatus): string {
  const against = `: ${short(own)} here, ${short(majority)} on the majority`;
  switch (cause) {
    case 'state':
      return `its state differs at op ${op}${against}`;
    case 'sessions':
      return `its client sessions differ at op ${op}${against}`;
    case 'checkpoint':
      return `its checkpoint at op ${op} differs${against}`;
    case 'memory':
      return `its memory is damaged (found at op ${op}: ${own})`;
    case 'restart':
      return `its state had diverged at op ${op} before it was started`;
    case 'no-majority':
      return `the replicas differ at op ${op} (${short(own)} here), and no majority agrees on anything`;
    default:
      return unreachable(cause);
  }
}

function whatIsDone({ progress, untilOp }: DivergenceStatus): string {
  switch (progress) {
    case 'fetching-checkpoint':
      return 'it fetches a checkpoint from the others by itself; nothing need be done';
    case 'reading-checkpoint':
      return 'it reads a good checkpoint by itself; nothing need be done';
    case 'replaying':
      return `it replays its log up to op ${untilOp} by itself; nothing need be done`;
    case 'diverged-again':
      return 'made anew from a good checkpoint and the log it comes out the same: is it the same version as the others? It stays apart until it is started again';
    case 'standing-still':
      return 'nothing is committed or answered; start the nodes again, one after the other';
    default:
      return unreachable(progress);
  }
}
