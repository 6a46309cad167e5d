import type { Model, Operation } from './linearizability.ts';

/** A row, as the histories know it: absent (null) or one value, and the position that wrote it. */
export interface RegisterState {
  readonly value: string | null;
}

export type RegisterInput =
  | { readonly type: 'read' }
  /** Sets the value whether there is one or not. */
  | { readonly type: 'write'; readonly value: string }
  /** Only where there is none. */
  | { readonly type: 'insert'; readonly value: string }
  /** Only where there is one. */
  | { readonly type: 'update'; readonly value: string }
  | { readonly type: 'delete' };

export type RegisterOutput =
  | { readonly type: 'value'; readonly value: string | null }
  | { readonly type: 'done' }
  /** Rejected by the state machine: there was a row, or none. */
  | { readonly type: 'rejected' };

function next(state: RegisterState, input: RegisterInput): { state: RegisterState; output: RegisterOutput } {
  const present = state.value !== null;
  switch (input.type) {
    case 'read':
      return { state, output: { type: 'value', value: state.value } };
    case 'write':
      return { state: { value: input.value }, output: { type: 'done' } };
    case 'insert':
      return present
        ? { state, output: { type: 'rejected' } }
        : { state: { value: input.value }, output: { type: 'done' } };
    case 'update':
      return present
        ? { state: { value: input.value }, output: { type: 'done' } }
        : { state, output: { type: 'rejected' } };
    case 'delete':
      return present ? { state: { value: null }, output: { type: 'done' } } : { state, output: { type: 'rejected' } };
  }
}

const sameOutput = (a: RegisterOutput, b: RegisterOutput): boolean =>
  a.type === b.type && (a.type !== 'value' || b.type !== 'value' || a.value === b.value);

/** Only values that were read can be told apart. */
function alike(operations: readonly Operation<RegisterInput, RegisterOutput>[]): readonly RegisterInput[] {
  const read = new Set<string>();
  for (const { returned } of operations) {
    const output = returned?.output;
    if (output?.type === 'value' && output.value !== null) read.add(output.value);
  }
  // Stands for every value that no read has found.
  let unread = '?';
  while (read.has(unread)) unread += '?';
  const known = new Map<string, RegisterInput>();
  const shared = (input: RegisterInput): RegisterInput => {
    const same = known.get(input.type);
    if (same === undefined) known.set(input.type, input);
    return same ?? input;
  };
  return operations.map(({ input }) => {
    if (!('value' in input)) return shared(input);
    return read.has(input.value) ? input : shared({ ...input, value: unread });
  });
}

/** One row under inserts, updates, upserts, deletes and gets. Give every write a value of its own: then more is seen. */
export const registerModel: Model<RegisterState, RegisterInput, RegisterOutput> = {
  initial: () => ({ value: null }),
  step: (state, input, output) => {
    const after = next(state, input);
    return output === null || sameOutput(after.output, output) ? after.state : null;
  },
  stateKey: (state) => (state.value === null ? '-' : `=${state.value}`),
  alike,
};
