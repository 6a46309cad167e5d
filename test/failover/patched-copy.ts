import { shippedBin as findShippedBin } from '../../sim/canaries/patched-copy.ts';

// The bugs of these drills are canaries of the simulator too (`sim/canaries`), which owns how they are planted.
export { executedTwice, readsWithoutRound } from '../../sim/canaries/execution.ts';
export { patchedCopy } from '../../sim/canaries/patched-copy.ts';

export const shippedBin: string = findShippedBin();
