import { membersOf } from '@kimberlite/vsr';
import type { Cluster } from '../cluster.ts';
import type { ActionEffect, FaultWorld } from './world.ts';

// A machine that is lost with its disk, and the operator who has an empty one take its place (Table H). He goes on when
// the faults are over: until he is done the replica is down.

/** Between two attempts; and how long he waits for an answer before he asks again, perhaps another primary. */
const attemptUs = 300_000;
const answerUs = 2_000_000;

export function loseMachine({ cluster, atlas }: FaultWorld, replica: number): ActionEffect {
  const machine = cluster.machines[replica];
  if (machine === undefined || cluster.lost.size > 0 || cluster.gone.has(replica)) return 'nothing';
  const { group } = cluster;
  if (!membersOf(group).includes(replica) || (group.voters.includes(replica) && group.voters.length < 3))
    return 'nothing';
  // Elsewhere it might take the last copy of something.
  if (!atlas.exceeded && !atlas.maySpare(replica)) return 'nothing';
  machine.platter.nextCrashKeeps = 'nothing';
  cluster.crash(replica);
  machine.disk.wipe();
  cluster.lost.add(replica);
  cluster.flips.wiped(replica);
  new Operator(cluster, replica).ask();
  return 'struck';
}

class Operator {
  private readonly cluster: Cluster;
  private readonly replica: number;
  /** Only the latest answer counts: an older one is of a fence that a later one may have followed. */
  private question = 0;

  constructor(cluster: Cluster, replica: number) {
    this.cluster = cluster;
    this.replica = replica;
  }

  ask(): void {
    const { cluster, replica } = this;
    const { primary } = cluster;
    if (!cluster.lost.has(replica) || cluster.failure !== null) return;
    // It was removed meanwhile: nobody has to take its place.
    if (primary !== null && !membersOf(primary.group).includes(replica)) {
      cluster.lost.delete(replica);
      cluster.gone.add(replica);
      return;
    }
    const machine = primary === null ? undefined : cluster.machines[primary.self];
    const host = machine?.host;
    this.question += 1;
    const { question } = this;
    if (machine?.power !== 'on' || host === null || host === undefined) return this.askLater(question, attemptUs);
    machine.input(() =>
      host.replaceMember(replica, (result) => {
        if (question !== this.question) return;
        if (!result.ok) return this.askLater(question, attemptUs);
        this.question += 1;
        cluster.note('operator', `replica ${replica}: incarnation ${result.incarnation}, view ${result.view}`);
        cluster.formatReplacement(replica, result, () => cluster.boot(replica));
      }),
    );
    this.askLater(question, answerUs);
  }

  /** Unless another question has been asked, or answered, by then. */
  private askLater(question: number, us: number): void {
    this.cluster.scheduler.after(us, () => {
      if (question === this.question) this.ask();
    });
  }
}
