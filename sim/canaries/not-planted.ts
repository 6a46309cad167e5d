/** Why a bug of the list has no canary. */
export interface NotPlanted {
  readonly pitfall: string;
  readonly reason: string;
}

const noWatch = 'not yet: there are no timers, no change log, no watch';

export const notPlanted: readonly NotPlanted[] = [
  { pitfall: '1b', reason: 'is 49, seen from the other side: the canary is there' },
  {
    pitfall: '7b',
    reason: 'hurts nobody while no client uses a number twice: the canary of 7a plants it along with that',
  },
  { pitfall: '3c', reason: 'the log view is set where the view is set, and nowhere else: the canary of 3b moves both' },
  {
    pitfall: '17a',
    reason:
      'a prepare takes a timestamp above every one this replica has seen, in whatever view: there is no rule of its own for view changes to leave out; 17b leaves out the one there is',
  },
  {
    pitfall: '30',
    reason:
      'the primary of a view is given by its number, so nobody stands for it against another: replicas in step change the view together, and sooner',
  },
  {
    pitfall: '34a',
    reason:
      'repair asks for what commits wait for first, and in small windows: the other order costs a few round trips, and there is no bound on that to break',
  },
  {
    pitfall: '39b',
    reason:
      'until checkpoints are loaded (part 3) every replica fills every table in the same order, whatever it does with it',
  },
  {
    pitfall: '39c',
    reason:
      'one process has one locale: the linter refuses what depends on it in the pure rooms, a probe shows that it does',
  },
  {
    pitfall: '39d',
    reason:
      'one process has one engine; the language gives every digit of a number, and floats are kept as their eight bytes',
  },
  {
    pitfall: '39e',
    reason:
      'the commands of the workload come from one function, so their members come in one order; the properties of the kernel and the canonical form of commands have tests of their own (kernel/test)',
  },
  { pitfall: '43', reason: noWatch },
  {
    pitfall: '44b',
    reason:
      'every checker is named by a canary, which is not found when the checker is off: a test holds that no name is missing',
  },
  {
    pitfall: '64c',
    reason:
      'a number has one machine in the simulator: that the old one runs on beside the new cannot be played; that the primary refuses while it is heard has a test of its own (vsr/test)',
  },
  {
    pitfall: '66a',
    reason:
      'needs two prepares with one CRC, which chance does not bring: identities are 128 bits of SHA-256 by their type',
  },
  {
    pitfall: '68g',
    reason:
      'as 64c: what of the machine before is still under way speaks of an epoch that is over, and is not heard for that; two that run at once cannot be played',
  },
];
