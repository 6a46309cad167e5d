import { assert, pipelineMax } from '@kimberlite/base';
import { advanceApply } from './apply.ts';
import { startAudit } from './audit.ts';
import { onPingTimer } from './clock.ts';
import { healAfterBoot } from './heal.ts';
import { extendLinks } from './repair.ts';
import { beginLoading } from './state-load.ts';
import { beginSync } from './state-sync.ts';
import { dropEntry, emptySlot, idAt, isPrimary, isSoleVoter, type Replica, setEntry } from './replica.ts';
import { setTimer } from './send.ts';
import { heartbeatTimeoutMs, jittered } from './timeouts.ts';
import { askForStartView, becomeNormal, enterView, sendDoViewChange, setHeartbeatTimeout } from './view-change.ts';

// After a boot (Table E): what the superblock and the log's slots let this replica claim.

export interface RestartFacts {
  readonly alone: boolean;
  /** view = log_view. */
  readonly settled: boolean;
  readonly headCertain: boolean;
  readonly primary: boolean;
}

export type RestartAction = 'next-view-alone' | 'resume-view-change' | 'normal' | 'next-view' | 'recovering-head';

/** Table E. Rows about the superblock itself and the checkpoint are decided before a replica is made. */
export const restartTable: readonly {
  readonly name: string;
  readonly matches: (f: RestartFacts) => boolean;
  readonly action: RestartAction;
}[] = [
  { name: 'n = 1', matches: (f) => f.alone, action: 'next-view-alone' },
  { name: 'view > log_view', matches: (f) => !f.alone && !f.settled, action: 'resume-view-change' },
  {
    name: 'settled, head certain, backup',
    matches: (f) => !f.alone && f.settled && f.headCertain && !f.primary,
    action: 'normal',
  },
  {
    // A primary that restarts never resumes its view (pitfall 16).
    name: 'settled, head certain, primary',
    matches: (f) => !f.alone && f.settled && f.headCertain && f.primary,
    action: 'next-view',
  },
  {
    name: 'settled, head uncertain',
    matches: (f) => !f.alone && f.settled && !f.headCertain,
    action: 'recovering-head',
  },
];

export function onStart<S>(r: Replica<S>): void {
  loadLog(r);
  const headCertain = r.recovered.headCertain && r.log.has(r.head);
  const settled = r.view === r.logView;
  const facts: RestartFacts = { alone: isSoleVoter(r), settled, headCertain, primary: isPrimary(r) };
  const row = restartTable.find((candidate) => candidate.matches(facts));
  assert(row !== undefined, 'Table E is total');
  onPingTimer(r);
  restart(r, row.action);
  r.recovered = { slots: [], head: r.recovered.head, headCertain: r.recovered.headCertain };
  const [newest] = r.checkpointing.refs;
  if (r.divergence.quarantine !== null) {
    r.mark('restarted-quarantined');
    healAfterBoot(r);
  } else if (newest !== undefined) beginLoading(r, newest, 'boot');
  else if (!r.stateLoaded) {
    r.mark('restarted-without-memory');
    beginSync(r);
  }
  startAudit(r);
  advanceApply(r);
}

function restart<S>(r: Replica<S>, action: RestartAction): void {
  if (action === 'recovering-head') {
    r.mark('restarted-unsure-of-head');
    return askForStartView(r, r.view);
  }
  r.status = 'view-change';
  switch (action) {
    case 'next-view-alone':
      refuseDamage(r);
      r.mark('restarted-alone');
      return enterView(r, r.view + 1);
    case 'next-view':
      r.mark('restarted-as-primary');
      return enterView(r, r.view + 1);
    case 'resume-view-change':
      r.mark('restarted-in-view-change');
      setTimer(r, 'view-change', jittered(r, r.timing.viewChangeMs));
      return sendDoViewChange(r);
    case 'normal':
      becomeNormal(r);
      setHeartbeatTimeout(r, heartbeatTimeoutMs(r));
      // What was prepared while it was down.
      return askForStartView(r, r.view);
  }
}

/** Takes over the verdicts of the slot recovery table. What the log wants is linked from the head down, the rest is blank. */
function loadLog<S>(r: Replica<S>): void {
  const { slots, head } = r.recovered;
  for (const { op, id, header, state, found } of slots) {
    if (state === 'durable') r.slots.set(op, { ...emptySlot, durable: id });
    // The mark stays with the slot until it is rewritten (pitfall 48).
    else if (state === 'faulty') {
      r.slots.set(op, { ...emptySlot, faulty: true, ...(found === undefined ? {} : { found }) });
    }
    if (state === 'faulty') r.mark('damage-found-at-boot');
    if (id !== null) setEntry(r, op, id, header);
  }
  for (const { op, id, header } of r.suffix) {
    if (id !== null && op <= head && op > r.logLow) setEntry(r, op, id, header);
  }
  r.head = head;
  r.linkedLow = head;
  // Every primary kept its head within P of its commit number, so everything further down is committed.
  r.commit = Math.max(r.durable.commit, head - pipelineMax, r.durable.checkpoint);
  r.replayUntil = r.commit;
  assert(r.commit <= head, () => `op ${r.commit} was committed, but the log ends at ${head}`);
  linkDown(r);
  // What the checkpoint covers is applied without the log; peers, or an older checkpoint, may need it all the same.
  for (const [op, { faulty }] of r.slots) if (faulty && op <= r.applied && idAt(r, op) !== null) r.damaged.add(op);
  r.last = { ...r.last, commit: r.commit };
}

/**
 * Ids of the suffix and of prepares made in the log view stand by themselves. Below them a prepare is trusted only
 * where links lead to it: an older one that was never replaced gives way, and below a break nothing is known.
 */
function linkDown<S>(r: Replica<S>): void {
  const lowest = r.logLow + 1;
  const anchor = Math.max(lowest, r.suffix[0]?.op ?? lowest);
  let linked = anchor;
  while (linked > lowest) {
    const parent = r.log.get(linked)?.header?.parent ?? null;
    if (parent === null || idAt(r, linked - 1) !== parent) break;
    linked--;
  }
  if (linked > lowest) r.mark('broken-chain-dropped');
  for (let op = lowest; op < Math.min(linked, r.head); op++) dropEntry(r, op);
  extendLinks(r);
}

/** One replica alone cannot repair: damage is named, never stepped over. */
function refuseDamage<S>(r: Replica<S>): void {
  for (const { op, state } of r.recovered.slots) {
    const lost = state === 'faulty' || (state === 'missing' && op <= r.commit);
    if (lost) throw new Error(`op ${op} is damaged, and there is no other replica to repair it from`);
  }
  if (!r.recovered.headCertain) throw new Error(`an op above ${r.head} is damaged, and there is no other replica`);
}
