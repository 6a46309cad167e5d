import { type Replica, replicaStatus } from '@kimberlite/vsr';
import { describeDivergence } from '@kimberlite/wire';
import type { Ports } from './ports.ts';

/** Tells people when a replica has diverged, how far it has come with its state, and when it is well again. */
export class DivergenceTeller {
  private readonly ports: Pick<Ports, 'journal' | 'metrics'>;
  /** What was said last; null: the replica is believed. */
  private told: string | null = null;

  constructor(ports: Pick<Ports, 'journal' | 'metrics'>) {
    this.ports = ports;
  }

  /** People have been told that it is quarantined. */
  get isTold(): boolean {
    return this.told !== null;
  }

  /** After each step of the replica. */
  look<State>(replica: Replica<State>): void {
    const { quarantine, dispute } = replica.divergence;
    if (quarantine === null && dispute === null && this.told === null) return;
    const { divergence, applied } = replicaStatus(replica);
    const { journal, metrics } = this.ports;
    if (divergence === null) {
      this.told = null;
      return journal.write('info', 'the state of this replica is that of the others again', { applied });
    }
    const now = `${divergence.cause} ${divergence.progress}`;
    if (now === this.told) return;
    const began = this.told === null;
    this.told = now;
    if (began) metrics.count('divergences_total', 1);
    const level = began || divergence.cause === 'no-majority' ? 'error' : 'warn';
    journal.write(level, `this replica is quarantined: ${describeDivergence(divergence)}`, { ...divergence, applied });
  }
}
