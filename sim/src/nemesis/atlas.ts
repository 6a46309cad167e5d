import { crc32 } from '@kimberlite/base';
import { fileName, inspectOp, inspectSuperblock, type OpInspection } from '@kimberlite/log';
import type { Cluster } from '../cluster.ts';
import { peekDisk } from './peek-disk.ts';

/** Damage that somebody would like to do. `op` says whose prepare or header record is there. */
export interface Damage {
  readonly replica: number;
  readonly file: string;
  readonly offset: number;
  readonly op?: number;
}

/** The first block of every file of the log holds only what is known otherwise, and is written again. */
const fileHeaderBytes = 4096;
/** A header record, in which a prepare's frame and padding are told apart from their neighbours'. */
const headerRecordBytes = 256;
const frameBytes = 64;

/**
 * What must stay intact, and where. The protocol does with less than one would think: it needs one copy of each op on
 * a replica that will be there in the end, and a quorum of replicas that know where their logs end. So a fixed minority
 * (the weak) may be damaged in every way that leaves a trace, while elsewhere a prepare is touched only when another
 * replica that is not weak has it too; its header record, which tells rot from a torn write, is not touched there at all.
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
    const platter = this.cluster.machines[damage.replica]?.platter;
    if (platter === undefined || damage.offset >= platter.sizeOf(damage.file)) return false;
    if (this.exceeded) return true;
    if (damage.file === 'superblock') return this.hasFourCopies(damage.replica);
    if (damage.offset < fileHeaderBytes) return true;
    if (damage.file.startsWith('headers')) return this.isWeak(damage.replica);
    return damage.file.startsWith('segment') && this.allowsPrepare(damage);
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

  private allowsPrepare({ replica, file, offset, op }: Damage): boolean {
    const found = op === undefined ? null : this.inspect(replica, op);
    if (found === null || found.header.state !== 'header') return false;
    const { place, header } = found.header;
    const within =
      file === fileName('segment', place.segment) &&
      offset >= place.offset &&
      offset < place.offset + frameBytes + place.lengthBytes;
    if (!within) return false;
    if (this.isWeak(replica)) return true;
    return this.cluster.machines.some(
      (_, other) => other !== replica && !this.isWeak(other) && this.holds(other, found.op, header.id),
    );
  }

  /** The prepare is there whole, and no crash can take it away. */
  private holds(replica: number, op: number, id: string): boolean {
    const found = this.inspect(replica, op);
    if (found === null || found.prepare === null || found.header.state !== 'header') return false;
    const { place } = found.header;
    const { platter } = this.cluster.machines[replica] ?? {};
    const segment = fileName('segment', place.segment);
    return (
      found.prepare.header.id === id &&
      platter?.isSynced(segment, place.offset, frameBytes + place.lengthBytes) === true &&
      platter.isSynced(found.file, found.offset, headerRecordBytes)
    );
  }
}
