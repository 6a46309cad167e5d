import { err, ok, type Result } from '@kimberlite/base';

export type Done<E> = (result: Result<void, E>) => void;
export type Task<E> = (done: Done<E>) => void;

/** Runs the tasks one after another and stops at the first error. */
export function inTurn<E>(tasks: readonly Task<E>[], done: Done<E>): void {
  let next = 0;
  const advance = (): void => {
    const task = tasks[next++];
    if (task === undefined) return done(ok(undefined));
    task((result) => (result.ok ? advance() : done(result)));
  };
  advance();
}

/** Runs the tasks at once and ends when all have; the first error wins. */
export function together<E>(tasks: readonly Task<E>[], done: Done<E>): void {
  let waiting = tasks.length;
  let failed: { readonly error: E } | null = null;
  if (waiting === 0) return done(ok(undefined));
  for (const task of tasks) {
    task((result) => {
      if (!result.ok && failed === null) failed = { error: result.error };
      waiting -= 1;
      if (waiting === 0) done(failed === null ? ok(undefined) : err(failed.error));
    });
  }
}

/** The same step for each item, one after another. */
export function eachInTurn<T, E>(items: readonly T[], step: (item: T, done: Done<E>) => void, done: Done<E>): void {
  inTurn(
    items.map((item) => (finished: Done<E>) => step(item, finished)),
    done,
  );
}
