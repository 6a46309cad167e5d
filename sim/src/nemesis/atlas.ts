import { crc32 } from '@kimberlite/base';
import { fileName, inspectOp, inspectSuperblock, listLog, type OpInspection } from '@kimberlite/log';
import type { Group } from '@kimberlite/vsr';
import type { Cluster } from '../cluster.ts';
import { peekDisk } from './peek-disk.ts';

/** Damage that somebody would like to do. `op` says whose prepare or header record is there. */
export interface Damage {
  readonly replica: number;
  readonly file: string;
  readonly offset: number;
  readonly op?: number;
}

/** Where a replica keeps an op. */
export interface KeptRecord {
  readonly op: number;
  readonly id: string;
  /** Of the prepare. */
  readonly file: string;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly headerAt: { readonly file: string; readonly offset: number };
  /** The prepare is whole, and no crash can take it away. */
  readonly isIntact: boolean;
}

/** The first block of every file of the log holds only what is known otherwise, and is written again. */
const fileHeaderBytes = 4096;
const blockBytes = 4096;
const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
export const headerRecordBytes = 256;
const frameBytes = 64;

/**
 * What must stay intact, and where. The protocol does with less than one would think: it needs one copy of each op on
 * a replica that will be there in the end, and a quorum of replicas that know where their logs end. So a fixed minority
 * (the weak) may be damaged in every way that leaves a trace, while elsewhere a prepare is touched only when another
 * replica that is not weak has it too; its header record, which tells rot from a torn write, is not touched there at all.
 *
 * Groups change: another replica's copy counts only if it votes now, and did before, until the new group has committed
 * something; and the group never becomes one of which more than a minority is weak.
 *
 * No replica may lose body and header record of one op without a trace: then it would deny an acknowledgement it gave,
 * and no protocol of this kind survives that.
 */
export class Atlas {
  /** Set for good once a run has chosen to do more than that. */
  exceeded = false;
  private readonly cluster: Cluster;
  private readonly weak: readonly number[];

  constructor(cluster: Cluster, weak: readonly number[]) {
    this.cluster = cluster;
    this.weak = weak;
  }

  isWeak(replica: number): boolean {
    return this.weak.includes(replica);
  }

  /** Its machine may be lost with all that is on it. */
  maySpare(replica: number): boolean {
    // Somebody else may still be fetching what only it and those who leave have.
    return this.isWeak(replica) && this.groups().length === 1;
  }

  /** No more of its voters are weak than it can do without, whichever way they are hurt. */
  canLive({ voters }: Pick<Group, 'voters'>): boolean {
    const weak = voters.filter((replica) => this.isWeak(replica)).length;
    return this.exceeded || weak <= Math.ceil(voters.length / 2) - 1;
  }

  /**
   * The groups that are needed: the newest, and until that is known to have committed something, the one before it,
   * which alone may have all that was acknowledged.
   */
  private groups(): readonly Group[] {
    const { states, group, groups } = this.cluster;
    const settled = states.some(
      (state) => state.group.epoch === group.epoch && (state.boundary === null || state.commit > state.boundary.op),
    );
    const before = groups[group.epoch - 1];
    return settled || before === undefined ? [group] : [group, before];
  }

  /** Whether it is there in the end, and counts. */
  private stays(replica: number): boolean {
    return this.groups().every(({ voters }) => voters.includes(replica));
  }

  /** The op as its own log code finds it on that disk now; null when there is no such disk or superblock. */
  inspect(replica: number, op: number): OpInspection | null {
    const platter = this.cluster.machines[replica]?.platter;
    if (platter === undefined) return null;
    let found: OpInspection | null = null;
    inspectOp({ disk: peekDisk(platter), hasher: this.cluster.hasher, crc32 }, op, (result) => {
      if (result.ok) found = result.value;
    });
    return found;
  }

  allows(damage: Damage): boolean {
    const { replica, file, offset } = damage;
    const platter = this.cluster.machines[replica]?.platter;
    if (platter === undefined || offset >= platter.sizeOf(file)) return false;
    if (file === 'superblock') return this.exceeded || this.hasFourCopies(replica);
    if (offset < fileHeaderBytes) return true;
    if (file.startsWith('headers')) return this.exceeded || this.isWeak(replica);
    const record = this.recordOf(replica, damage.op ?? 0);
    if (record === null || file !== record.file) return false;
    return offset >= record.offset && offset < record.offset + record.sizeBytes && this.canSpare(replica, record);
  }

  /** A whole prepare, or header record, may be lost there, or overwritten. */
  allowsLoss(replica: number, op: number, target: 'segment' | 'headers'): boolean {
    const record = this.recordOf(replica, op);
    if (record === null || !this.canSpare(replica, record)) return false;
    // Without a trace of it a damaged prepare would look like a torn write.
    return target === 'segment' || (this.isWeak(replica) && record.isIntact);
  }

  /** Losing any one copy loses nothing, so one is lost only when the others are there and equal. */
  hasFourCopies(replica: number): boolean {
    const platter = this.cluster.machines[replica]?.platter;
    if (platter === undefined || !platter.isSynced('superblock', 0, platter.sizeOf('superblock'))) return false;
    let equal = false;
    inspectSuperblock({ disk: peekDisk(platter), hasher: this.cluster.hasher, crc32 }, (result) => {
      if (!result.ok) return;
      const sequences = result.value.copies.map((copy) => (copy.state === 'intact' ? copy.superblock.sequence : -1));
      equal = sequences.every((sequence) => sequence >= 0 && sequence === sequences[0]);
    });
    return equal;
  }

  /**
   * A prepare whose header record is durable. Before that its damage could not be told from a torn write after a crash:
   * the window in the fault model, a few milliseconds long, which is left alone.
   */
  recordOf(replica: number, op: number): KeptRecord | null {
    const found = op < 1 ? null : this.inspect(replica, op);
    const platter = this.cluster.machines[replica]?.platter;
    if (found === null || platter === undefined || found.header.state !== 'header') return null;
    if (!platter.isSynced(found.file, found.offset, headerRecordBytes)) return null;
    const { place, header } = found.header;
    const file = fileName('segment', place.segment);
    const sizeBytes = frameBytes + place.lengthBytes;
    const isIntact = found.prepare?.header.id === header.id && platter.isSynced(file, place.offset, sizeBytes);
    const headerAt = { file: found.file, offset: found.offset };
    return { op, id: header.id, file, offset: place.offset, sizeBytes, headerAt, isIntact };
  }

  /**
   * A read may fail where that looks like damage. The one block of a prepare whose header record a crash has cut off
   * would look like a torn write, and be cleared away.
   */
  mayBeUnreadable(replica: number, file: string, offset: number, sizeBytes: number): boolean {
    const platter = this.cluster.machines[replica]?.platter;
    // Of a longer range each block is read by itself next.
    if (platter === undefined || !file.startsWith('segment') || sizeBytes > blockBytes) return true;
    const bytes = platter.bytesAt(file, offset, sizeBytes);
    if (bytes === undefined || isZero(bytes)) return true;
    let known = false;
    listLog(
      { disk: peekDisk(platter), hasher: this.cluster.hasher, crc32 },
      (_, record) => {
        if (record.state !== 'header' || fileName('segment', record.place.segment) !== file) return;
        const endsAt = record.place.offset + frameBytes + record.place.lengthBytes;
        known ||= offset >= record.place.offset && offset < endsAt;
      },
      () => {},
    );
    return known;
  }

  private canSpare(replica: number, { op, id }: KeptRecord): boolean {
    if (this.exceeded || this.isWeak(replica)) return true;
    return this.cluster.machines.some((_, other) => {
      if (other === replica || this.isWeak(other) || !this.stays(other)) return false;
      const record = this.recordOf(other, op);
      return record !== null && record.id === id && record.isIntact;
    });
  }
}
