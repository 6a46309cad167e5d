/** npm passes a Ctrl-C on to us although the terminal has sent it already: this long a second one is the same one. */
const graceMs = 2000;

export interface StopSignals {
  /** Asked once, by the first signal. */
  readonly onStop: () => void;
  /** Asked by a further one that cannot be the first one's echo. */
  readonly onKill: () => void;
}

/** The first signal stops, a second within the grace is ignored, a third (or a later second) kills. Pure but for time. */
export function countSignals(options: StopSignals, nowMs: () => number): () => void {
  let count = 0;
  let firstMs = 0;
  return () => {
    count += 1;
    if (count === 1) {
      firstMs = nowMs();
      options.onStop();
    } else if (count > 2 || nowMs() - firstMs > graceMs) options.onKill();
  };
}

/** Ctrl-C, TERM and a closed terminal mean the same. Gives back how to let go of them. */
export function onSignals(options: StopSignals): () => void {
  const handle = countSignals(options, () => performance.now());
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, handle);
  return () => {
    for (const name of names) process.off(name, handle);
  };
}
