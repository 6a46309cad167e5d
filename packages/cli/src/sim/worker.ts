import { parentPort, workerData } from 'node:worker_threads';
import { nodeHasher } from '@kimberlite/node';
import { type CampaignOptions, executeRun } from '@kimberlite/sim';

// A thread that executes runs for `runners.ts`: a seed comes in, its report goes out, one at a time.
const options: CampaignOptions = workerData;
parentPort?.on('message', (seed: number) => parentPort?.postMessage(executeRun(seed, options, nodeHasher)));
