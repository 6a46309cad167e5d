import type { AppliedEffects, Journal } from '@kimberlite/host';
import type { NodeMetrics } from './metrics.ts';

/** The part of a kernel's effect that this file reads; everything else passes by. */
interface Alert {
  readonly type: 'TriggerAlert';
  readonly alert: string;
  readonly message: string;
}

const isAlert = (effect: unknown): effect is Alert =>
  typeof effect === 'object' && effect !== null && 'type' in effect && effect.type === 'TriggerAlert';

/**
 * What the state machine asks of the world outside, once per committed op. Writing the log and answering clients
 * happen in the host; alerts are said here, by the primary alone and never on replay (pitfall 40).
 */
export function createAppliedEffects(journal: Journal, metrics: NodeMetrics): AppliedEffects {
  return {
    execute: ({ op, primary, replay, effects }) => {
      metrics.count('ops_applied_total', 1);
      if (!primary || replay) return;
      for (const effect of effects) {
        if (!isAlert(effect)) continue;
        metrics.count('alerts_total', 1);
        journal.write('warn', effect.message, { alert: effect.alert, op });
      }
    },
  };
}
