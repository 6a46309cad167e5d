import type { Checker } from './checker.ts';

type Hook = Exclude<keyof Checker, 'name'>;

/** The checkers' hooks by kind: what happens most often asks only those that look at it. */
export type CheckerHooks = { readonly [Name in Hook]: readonly NonNullable<Checker[Name]>[] };

export const hooksOf = (checkers: readonly Checker[]): CheckerHooks => ({
  sent: checkers.flatMap(({ sent }) => sent ?? []),
  executed: checkers.flatMap(({ executed }) => executed ?? []),
  turned: checkers.flatMap(({ turned }) => turned ?? []),
  down: checkers.flatMap(({ down }) => down ?? []),
  returned: checkers.flatMap(({ returned }) => returned ?? []),
  ended: checkers.flatMap(({ ended }) => ended ?? []),
});
