export { canaries, canaryOf } from './canaries.ts';
export { type Canary, groundOf, patchesOf, pitfallOf } from './canary.ts';
export { type Hunt, hunt } from './hunt.ts';
export { lookInto, type LookTask } from './look-into.ts';
export { type NotPlanted, notPlanted } from './not-planted.ts';
export { applyPatch, type Patch, patchedCopy, patchTexts, shippedBin } from './patched-copy.ts';
export { type CanaryOptions, type CanaryReport, type CanaryResult, runCanaries, unknownCanaries } from './report.ts';
