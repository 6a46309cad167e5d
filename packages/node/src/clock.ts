import type { Clock } from '@kimberlite/host';

const millisecondUs = 1000;

/**
 * The machine's clocks. `Date.now` ticks in milliseconds; between its ticks the monotonic clock counts on, so that
 * readings have microseconds and are never further than a millisecond from what the machine believes.
 */
export function createClock(now: () => number = Date.now, monotonicMs: () => number = () => performance.now()): Clock {
  let offsetUs = 0;
  return {
    read: () => {
      const monotonicUs = Math.floor(monotonicMs() * millisecondUs);
      const wallUs = now() * millisecondUs;
      const guessUs = offsetUs + monotonicUs;
      if (guessUs < wallUs) offsetUs = wallUs - monotonicUs;
      else if (guessUs >= wallUs + millisecondUs) offsetUs = wallUs + millisecondUs - 1 - monotonicUs;
      return { monotonicUs, realtimeUs: offsetUs + monotonicUs };
    },
  };
}
