import type { Checker, Fail } from './checker.ts';
import { issueOrder, linearizability, staleReads } from './client-checkers.ts';
import { exactlyOnce, nothingLost, stateHashes, timestamps } from './execution-checkers.ts';
import { agreement, neverBack, onePreparePerView, persistence } from './log-checkers.ts';
import { replay } from './replay.ts';

/** Every checker, always. There is no switch to leave one out (pitfall 44). */
export const createCheckers = (fail: Fail): readonly Checker[] => [
  persistence(fail),
  onePreparePerView(fail),
  agreement(fail),
  neverBack(fail),
  stateHashes(fail),
  timestamps(fail),
  exactlyOnce(fail),
  nothingLost(fail),
  staleReads(fail),
  issueOrder(fail),
  replay(fail),
  linearizability(fail),
];
