/** A broken invariant. Not for untrusted input: it means the program is wrong, and the replica stops. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Stops the replica when an invariant does not hold. Always on.
 * The message may be a function, so that building it costs nothing while the invariant holds.
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === 'string' ? message : message());
}

/** The end of an exhaustive switch: the compiler proves that nothing arrives here. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
