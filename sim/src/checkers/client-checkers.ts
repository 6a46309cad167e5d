import type { Checker, Fail } from './checker.ts';
import { checkLinearizability, type Violation } from './linearizability.ts';
import { operationsOf } from './operations.ts';
import { type RegisterInput, type RegisterOutput, registerModel } from './register.ts';

export function describeViolation(violation: Violation<RegisterInput, RegisterOutput>): string {
  const lines = violation.operations.slice(-12).map(({ client, input, invokedAt, returned }) => {
    const what = 'value' in input ? `${input.type} ${input.value}` : input.type;
    const result =
      returned === null
        ? 'unknown'
        : returned.output.type === 'value'
          ? `found ${returned.output.value}`
          : returned.output.type;
    return `[${invokedAt}, ${returned?.at ?? '…'}] ${client} ${what}: ${result}`;
  });
  return `row ${violation.key} has no order that explains its ${violation.operations.length} calls; the last: ${lines.join('; ')}`;
}

/** The independent opinion: only what clients saw, and when. */
export function linearizability(fail: Fail): Checker {
  return {
    name: 'linearizability',
    ended: ({ history }) => {
      const verdict = checkLinearizability(registerModel, operationsOf(history));
      if (verdict.type === 'violation') fail('linearizability', describeViolation(verdict.violation));
      if (verdict.type === 'budget-exceeded') {
        fail('linearizability', `not decided within ${verdict.steps} steps: ${verdict.keys.join(', ')}`);
      }
    },
  };
}
