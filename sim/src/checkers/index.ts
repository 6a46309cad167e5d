import { watchAsked } from './asked.ts';
import { calls, watchPlaces } from './calls.ts';
import type { Checker, Fail, World } from './checker.ts';
import { linearizability } from './client-checkers.ts';
import { Commits } from './commits.ts';
import { divergence } from './divergence.ts';
import { effects } from './effects.ts';
import { epochs } from './epochs.ts';
import { Groups } from './groups.ts';
import { idempotency } from './idempotency.ts';
import { Ledger } from './ledger.ts';
import { issueOrder, logOrder } from './log-order.ts';
import { nackRules } from './nacks.ts';
import { logTrim } from './log-trim.ts';
import { neverBack } from './never-back.ts';
import { operationsOnce } from './operations.ts';
import { persistence } from './persistence.ts';
import { Disks } from './platters.ts';
import { Prepares } from './prepares.ts';
import { readConfirmation, readOrder } from './reads.ts';
import { replacement } from './replacement.ts';
import { replay } from './replay.ts';
import { replies } from './replies.ts';
import { Requests } from './requests.ts';
import { onDisks, sessionTables, stateReports } from './state-checkers.ts';
import { timestamps } from './timestamps.ts';
import { orderlyViews, pipelineBound } from './views.ts';

/**
 * Every checker, always. There is no switch to leave one out (pitfall 44). The first ones also keep what the others
 * look things up in: all prepares, what is committed, what was executed, which request is which.
 */
export function createCheckers(world: World, fail: Fail): readonly Checker[] {
  const groups = new Groups(world);
  const disks = new Disks(world.platter);
  const prepares = new Prepares(world, groups, fail);
  const operations = operationsOnce();
  const commits = new Commits(world, groups, disks, prepares, fail);
  const ledger = new Ledger(world.flips, world.nowUs, fail);
  const places = watchPlaces(ledger);
  const asked = watchAsked();
  const requests = new Requests(asked, prepares, commits, ledger, fail);
  const known = { groups, disks, prepares, commits };
  // What is known of epochs is told to these before anybody else hears of one.
  const ofEpochs = epochs(world, known, fail);
  return [
    groups.checker,
    disks.checker,
    prepares.checker,
    persistence(world, disks, prepares, fail),
    nackRules(fail),
    neverBack(world, fail),
    orderlyViews(groups, fail),
    ofEpochs,
    logTrim(world, groups, disks, commits, fail),
    replacement(groups, prepares, commits, fail),
    pipelineBound(fail),
    commits.checker,
    timestamps(groups, prepares, commits, ledger, fail),
    idempotency(ledger, fail),
    ledger.checker,
    effects(world, groups, commits, fail),
    readConfirmation(world, groups, asked, fail),
    readOrder(asked, requests, fail),
    asked.checker,
    replies(world, groups, asked, commits, ledger, requests, fail),
    stateReports(world.flips, ledger, fail),
    divergence(world, fail),
    calls(ledger, places, fail),
    logOrder(ledger, places, operations, fail),
    issueOrder(fail),
    requests.checker,
    sessionTables(requests, fail),
    onDisks(world, known, fail),
    replay(world, disks, prepares, commits, fail),
    linearizability(operations, fail),
  ];
}
