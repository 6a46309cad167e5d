import { replicasMax } from '@kimberlite/base';
import { type Group, type MemberChange, membersOf } from '@kimberlite/vsr';
import type { MembersChanged } from '@kimberlite/host';
import type { Cluster } from '../cluster.ts';
import type { ActionOf } from './action.ts';
import type { Atlas } from './atlas.ts';
import type { ActionEffect, FaultWorld } from './world.ts';

// Other replicas, on other machines (VRR section 7), by the door of the primary's host: as an operator does it, who reads
// what the answer says, looks at the group as it is, and goes on from there.

/** Between two attempts; and how long he waits for an answer before he asks again, perhaps another primary. */
const attemptUs = 200_000;
const answerUs = 2_000_000;
/** Then he gives up: a change that a guard refuses for good is left undone. */
const patienceUs = 6_000_000;
/** Refusals of a change of the primary itself before it is asked to hand over. */
const refusalsBeforeTransfer = 2;

const addressOf = (replica: number): string => `machine-${replica}:7400`;

/** There is no such replica any more, or there never was: its number is free, and no older machine has it. */
export const mayJoin = ({ machines, gone, lost }: Cluster, replica: number): boolean =>
  replica < replicasMax && (replica === machines.length || (gone.has(replica) && !lost.has(replica)));

export function changeMembers(world: FaultWorld, { joins, leaves }: ActionOf<'change-members'>): ActionEffect {
  const { cluster, atlas, struck } = world;
  if (cluster.changing || (joins === null && leaves === null) || joins === leaves) return 'nothing';
  if (joins !== null && !mayJoin(cluster, joins) && !membersOf(cluster.group).includes(joins)) return 'nothing';
  new Operator(cluster, atlas, { joins, leaves }, () => struck('change-members')).begin();
  return 'waiting';
}

interface Wanted {
  readonly joins: number | null;
  readonly leaves: number | null;
}

class Operator {
  private readonly cluster: Cluster;
  private readonly atlas: Atlas;
  private readonly wanted: Wanted;
  private readonly whenChanged: () => void;
  private readonly untilUs: number;
  private question = 0;
  private refusals = 0;

  constructor(cluster: Cluster, atlas: Atlas, wanted: Wanted, whenChanged: () => void) {
    this.cluster = cluster;
    this.atlas = atlas;
    this.wanted = wanted;
    this.whenChanged = whenChanged;
    this.untilUs = cluster.scheduler.nowUs + patienceUs;
  }

  begin(): void {
    this.cluster.changing = true;
    this.goOn();
  }

  /** The next step towards the group that is wanted; null: there is none. */
  private next(group: Group): MemberChange | null {
    const { joins, leaves } = this.wanted;
    const { voters } = group;
    const members = membersOf(group);
    if (joins !== null && !members.includes(joins)) return { type: 'add', replica: joins, address: addressOf(joins) };
    if (joins !== null && !voters.includes(joins)) {
      if (leaves !== null && voters.includes(leaves)) return { type: 'replace', replica: leaves, by: joins };
      return { type: 'promote', replica: joins };
    }
    if (leaves !== null && members.includes(leaves)) return { type: 'remove', replica: leaves };
    return null;
  }

  /** What the voters would be; the group may have become another one than when the change was drawn. */
  private mayLive(change: MemberChange, { voters }: Group): boolean {
    switch (change.type) {
      case 'add':
        return true;
      case 'promote':
        return this.atlas.canLive({ voters: [...voters, change.replica] });
      case 'remove':
        return voters.length > 1 && this.atlas.canLive({ voters: voters.filter((other) => other !== change.replica) });
      case 'replace':
        return this.atlas.canLive({ voters: voters.map((other) => (other === change.replica ? change.by : other)) });
    }
  }

  private goOn(): void {
    const { cluster } = this;
    if (cluster.failure !== null) return;
    const { primary } = cluster;
    this.question += 1;
    const { question } = this;
    const machine = primary === null ? undefined : cluster.machines[primary.self];
    const host = machine?.host ?? null;
    if (primary === null || machine?.power !== 'on' || host === null) return this.goOnLater(question, attemptUs);
    // Whoever was added has a machine, also when the answer that said so was lost.
    const without = primary.group.standbys.find((replica) => this.hasNoMachine(primary.group, replica));
    if (without !== undefined && primary.boundary !== null) {
      return this.provide(without, { ok: true, membership: { group: primary.group, boundary: primary.boundary } });
    }
    const change = this.next(primary.group);
    const isLate = cluster.scheduler.nowUs >= this.untilUs;
    if (change === null || isLate || !this.mayLive(change, primary.group)) return this.end();
    if (this.refusals >= refusalsBeforeTransfer && this.wanted.leaves === primary.self) {
      this.refusals = 0;
      machine.input(() => void host.transfer());
      return this.goOnLater(question, attemptUs);
    }
    machine.input(() =>
      host.changeMembers(change, false, (result) => {
        if (question === this.question) this.onAnswer(change, result);
      }),
    );
    this.goOnLater(question, answerUs);
  }

  private onAnswer(change: MemberChange, result: MembersChanged): void {
    const { cluster } = this;
    this.question += 1;
    if (!result.ok) {
      this.refusals += 1;
      cluster.note('operator', `${JSON.stringify(change)} is refused: ${result.reason}`);
      return this.goOnLater(this.question, attemptUs);
    }
    const { epoch, voters, standbys } = result.membership.group;
    cluster.note('operator', `epoch ${epoch}: voters ${voters.join(' ')}, standbys ${standbys.join(' ')}`);
    this.whenChanged();
    if (change.type === 'add') return this.provide(change.replica, result);
    this.goOnLater(this.question, attemptUs);
  }

  private hasNoMachine({ incarnations }: Group, replica: number): boolean {
    return (this.cluster.incarnations[replica] ?? 0) < (incarnations[replica] ?? 0);
  }

  /** An empty machine for the new replica, which may be where one was that had its number before. */
  private provide(replica: number, { membership }: Extract<MembersChanged, { readonly ok: true }>): void {
    const { cluster } = this;
    cluster.note('operator', `a machine for replica ${replica}, epoch ${membership.group.epoch}`);
    cluster.formatJoining(replica, membership, () => cluster.boot(replica));
    this.goOnLater(this.question, attemptUs);
  }

  private end(): void {
    this.cluster.changing = false;
  }

  /** Unless another question has been asked, or answered, by then. */
  private goOnLater(question: number, us: number): void {
    this.cluster.scheduler.after(us, () => {
      if (question === this.question) this.goOn();
    });
  }
}
