import type { Canary } from './canary.ts';
import { divergence } from './divergence.ts';
import { execution } from './execution.ts';
import { liveness } from './liveness.ts';
import { membership } from './membership.ts';
import { model } from './model.ts';
import { published } from './published.ts';
import { storage } from './storage.ts';
import { viewChange } from './view-change.ts';

/** All of them, in the order of the pitfalls. */
export const canaries: readonly Canary[] = [
  ...published,
  ...viewChange,
  ...storage,
  ...liveness,
  ...execution,
  ...model,
  ...membership,
  ...divergence,
].sort((a, b) => (inOrder(a.id) < inOrder(b.id) ? -1 : 1));

/** `9b` before `12a`. */
function inOrder(id: string): string {
  return id.replace(/^\d+/, (number) => number.padStart(3, '0'));
}

export function canaryOf(id: string): Canary {
  const found = canaries.find((canary) => canary.id === id);
  if (found === undefined)
    throw new Error(`there is no canary ${id}; there are ${canaries.map((c) => c.id).join(', ')}`);
  return found;
}
