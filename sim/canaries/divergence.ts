import { type Canary, faults, plain, vsr } from './canary.ts';

// Divergence (pitfall 65): who is wrong, and what that one may not do. Memory changes at one replica at a time.

/** What a replica would do that has not diverged: the primary among them. */
const flips = faults('flip-state', 'crash');

export const divergence: readonly Canary[] = [
  {
    ...plain,
    id: '65.1',
    name: 'whoever differs from the primary has diverged, and the primary never has',
    patches: [
      vsr(
        'divergence',
        'const verdict = verdictOn(said, text(own), r.quorums.majority);',
        `const leader = said[r.group.voters.indexOf(primaryOf(r, r.view))] ?? null;
            const verdict = leader === null ? { type: 'open' }
                : leader === text(own) ? { type: 'agreed' } : { type: 'against', majority: leader };`,
      ),
      vsr(
        'divergence',
        'import { isNormalPrimary, isSoleVoter }',
        'import { isNormalPrimary, isSoleVoter, primaryOf }',
      ),
      // What the primary would find out by itself.
      vsr('audit', "if (found?.type === 'damaged')", "if (found?.type === 'never')"),
    ],
    // Witness: a replica of which nothing was changed says that it has diverged.
    caughtBy: { kind: 'divergence', message: 'and it has not' },
    world: flips,
  },
  {
    ...plain,
    id: '65.2',
    name: 'a replica that has diverged acknowledges',
    patches: [vsr('log-writes', 'if (isSuspect(r))', 'if (false)')],
    caughtBy: { kind: 'divergence', message: 'sends prepare-ok' },
    world: flips,
  },
  {
    ...plain,
    id: '65.3',
    name: 'nobody looks through the memory, and reports are not compared',
    patches: [
      vsr('audit', "if (found?.type === 'damaged')", "if (found?.type === 'never')"),
      vsr('divergence', '!r.divergence.isFresh || !r.stateLoaded', 'true || !r.stateLoaded'),
    ],
    caughtBy: { kind: 'divergence', message: 'it should know by now' },
    world: flips,
  },
];
