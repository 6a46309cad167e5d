import { Worker } from 'node:worker_threads';
import { type CampaignOptions, lostRun, type Runner, type RunReport } from '@kimberlite/sim';

/** No run takes a hundredth of it; one that does goes round in circles. */
const runSecondsMax = 600;

export interface WorkerRunner extends Runner {
  readonly close: () => Promise<void>;
}

/** Executes runs in threads of their own. A thread that dies, or a run that does not end, is that run's failure. */
export function createWorkerRunner(options: CampaignOptions, width: number): WorkerRunner {
  const idle: Worker[] = [];
  const everyone = new Set<Worker>();
  const start = (): Worker => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: options });
    everyone.add(worker);
    return worker;
  };
  const run = (seed: number): Promise<RunReport> => {
    const worker = idle.pop() ?? start();
    const startedMs = performance.now();
    return new Promise((resolve) => {
      const lost = (message: string): void => {
        settle();
        everyone.delete(worker);
        void worker.terminate();
        resolve(lostRun(seed, message, (performance.now() - startedMs) / 1000));
      };
      const failed = (error: Error): void => lost(`the thread of the run failed: ${error.stack ?? error.message}`);
      const exited = (code: number): void => lost(`the thread of the run ended with code ${code}`);
      const ended = (report: RunReport): void => {
        settle();
        idle.push(worker);
        resolve(report);
      };
      const timer = setTimeout(() => lost(`the run did not end within ${runSecondsMax} seconds`), runSecondsMax * 1000);
      const settle = (): void => {
        clearTimeout(timer);
        worker.off('message', ended).off('error', failed).off('exit', exited);
      };
      worker.on('message', ended).on('error', failed).on('exit', exited);
      worker.postMessage(seed);
    });
  };
  const close = async (): Promise<void> => {
    await Promise.all([...everyone].map((worker) => worker.terminate()));
  };
  return { width, run, close };
}
