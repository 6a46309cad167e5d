import type { KernelError } from '@kimberlite/kernel';
import type { CallFailure } from './failure.ts';

/** A rejection by the state machine: a committed outcome, so the command certainly changed nothing. */
export function rejection(error: KernelError, position?: number): CallFailure {
  const { code, message, retryable, ...details } = error;
  return {
    code,
    message,
    retryable,
    outcome: 'not-applied',
    details,
    ...(position === undefined ? {} : { position }),
  };
}
