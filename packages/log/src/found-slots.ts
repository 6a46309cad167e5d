import { assert, prepareHeaderBytes } from '@kimberlite/base';
import type { MarkPort } from './coverage.ts';
import { decodeHeaderRecord, encodeHeaderRecord, type HeaderRecord } from './header-record.ts';
import {
  blockBytes,
  type Geometry,
  headerPlace,
  headerRecordBytes,
  isBehind,
  type Location,
  type LogIdentity,
} from './layout.ts';
import { LocationIndex } from './location-index.ts';
import type { BodyState } from './recovery.ts';
import type { Damage } from './segment-scan.ts';

/** A header record that has to be written before the log may be used. */
export interface HeaderRepair {
  readonly op: number;
  readonly place: Location;
}

/**
 * What opening a log finds out about every op: the header records as they are on the disk, the newest intact prepare
 * of each op, and the damage between them. Lives until the log is recovered.
 */
export class FoundSlots {
  /** The newest intact prepare of each op; after `planRepairs` only where its header record is, or will be, its own. */
  readonly index = new LocationIndex();
  readonly damage: Damage[] = [];
  /** Offset behind the last used byte of each segment. */
  readonly usedEnd = new Map<number, number>();
  private readonly geometry: Geometry;
  private readonly identity: LogIdentity;
  private readonly mark: Required<MarkPort>['mark'];
  private readonly records = new Map<number, Uint8Array>();
  /** Each record is checked once: restarts look at every one several times. */
  private readonly decoded = new Map<number, (HeaderRecord | undefined)[]>();
  /** The lowest op the log still holds; of what lies below, records and prepares may be left that mean nothing. */
  readonly lowest: number;
  private highestHeader = 0;
  private badHeaders = 0;
  /** Places that header records name in one segment, made when the scan of that segment meets damage. */
  private claims: { readonly segment: number; readonly lengths: ReadonlyMap<number, number> } | null = null;

  constructor(geometry: Geometry, identity: LogIdentity, lowest: number, { mark }: MarkPort = {}) {
    this.geometry = geometry;
    this.mark = mark ?? ((): void => {});
    this.identity = identity;
    this.lowest = lowest;
    this.index.dropBelow(lowest);
  }

  /** The first op of the lowest headers file: records below `lowest` still name places. */
  get lowestRecorded(): number {
    return this.lowest - ((this.lowest - 1) % this.geometry.headerSlots);
  }

  /** Highest op with a header record, whole or damaged. */
  get highest(): number {
    return this.highestHeader;
  }

  /** The records of one headers file, without its file header. Kept and written to. */
  addHeaders(sequence: number, bytes: Uint8Array): void {
    assert(bytes.length === this.geometry.headerSlots * headerRecordBytes, 'a headers file has its full size');
    this.records.set(sequence, bytes);
    this.decoded.set(sequence, new Array(this.geometry.headerSlots));
    const first = (sequence - 1) * this.geometry.headerSlots + 1;
    for (let op = Math.max(first, this.lowest); op < first + this.geometry.headerSlots; op++) {
      const { state } = this.header(op);
      if (state !== 'none' && op > this.highestHeader) this.highestHeader = op;
      if (state === 'bad') this.badHeaders += 1;
    }
  }

  hasHeadersFor(op: number): boolean {
    return this.records.has(headerPlace(this.geometry, op).sequence);
  }

  private slot(op: number): Uint8Array | null {
    const { sequence, offset } = headerPlace(this.geometry, op);
    const at = offset - blockBytes;
    return this.records.get(sequence)?.subarray(at, at + headerRecordBytes) ?? null;
  }

  header(op: number): HeaderRecord {
    const { sequence, offset } = headerPlace(this.geometry, op);
    const decoded = this.decoded.get(sequence);
    if (decoded === undefined) return { state: 'none' };
    const number = (offset - blockBytes) / headerRecordBytes;
    const known = decoded[number];
    if (known !== undefined) return known;
    const slot = this.slot(op);
    assert(slot !== null, 'a headers file has both its bytes and its records');
    const record = decodeHeaderRecord(slot, op, this.identity);
    decoded[number] = record;
    return record;
  }

  private setSlot(op: number, bytes: Uint8Array): void {
    const { sequence, offset } = headerPlace(this.geometry, op);
    const slot = this.slot(op);
    assert(slot !== null, 'the headers file of the op was read');
    slot.set(bytes);
    const decoded = this.decoded.get(sequence);
    if (decoded !== undefined) decoded[(offset - blockBytes) / headerRecordBytes] = undefined;
    this.claims = null;
  }

  /** Takes what a second reading of one record gave; returns its state. */
  replace(op: number, bytes: Uint8Array): HeaderRecord['state'] {
    const before = this.header(op).state;
    this.setSlot(op, bytes);
    const { state } = this.header(op);
    if (op >= this.lowest) this.badHeaders += (state === 'bad' ? 1 : 0) - (before === 'bad' ? 1 : 0);
    return state;
  }

  /** B of Table D, after `planRepairs`. */
  body(op: number): BodyState {
    if (this.index.place(op) !== null) return 'intact';
    return this.header(op).state === 'none' ? 'none' : 'bad';
  }

  claim(segment: number, offset: number): number | null {
    if (this.claims === null || this.claims.segment !== segment) {
      const lengths = new Map<number, number>();
      for (let op = this.lowestRecorded; op <= this.highestHeader; op++) {
        const record = this.header(op);
        if (record.state === 'header' && record.place.segment === segment) {
          lengths.set(record.place.offset, record.place.lengthBytes);
        }
      }
      this.claims = { segment, lengths };
    }
    return this.claims.lengths.get(offset) ?? null;
  }

  private isClaimed(damage: Damage): boolean {
    return this.claim(damage.segment, damage.offset) !== null;
  }

  /** True when damage might be a newer prepare of this op than the intact one. */
  private mayHideNewer(op: number, place: Location): boolean {
    return this.damage.some((damage) => {
      if (damage.op !== null && damage.op !== op) return false;
      if (damage.op === null && this.isClaimed(damage)) return false;
      return isBehind({ ...damage }, place);
    });
  }

  /**
   * Brings header records and prepares into step: row 0 of Table D (damaged record, whole prepare), the record that a
   * crash cut off after the prepare's sync, and a record whose prepare is whole only elsewhere. Afterwards every op in
   * the index is one whose record names exactly that place, so that a later loss of the prepare is seen as one.
   */
  planRepairs(): readonly HeaderRepair[] {
    const repairs: HeaderRepair[] = [];
    for (let op = this.lowest; op <= Math.max(this.highestHeader, this.index.highest); op++) {
      const place = this.index.place(op);
      if (place === null) continue;
      const record = this.header(op);
      if (record.state === 'header') {
        const same = this.index.holds(op, record.header.id);
        const samePlace = record.place.segment === place.segment && record.place.offset === place.offset;
        if (same && samePlace) continue;
        // Of another id and older than the record: the record's own prepare is damaged, and stays the one wanted here.
        if (!same && isBehind(record.place, place)) this.index.clear(op);
        else repairs.push({ op, place });
        this.mark('header-record-moved');
      } else if (record.state === 'bad' && this.mayHideNewer(op, place)) {
        this.mark('newer-prepare-may-be-hidden');
        this.index.clear(op);
      } else {
        this.mark(record.state === 'bad' ? 'header-record-rebuilt' : 'header-record-completed');
        repairs.push({ op, place });
      }
    }
    return repairs;
  }

  /** Takes a repair into the records kept here and returns the bytes to write. */
  repair(repair: HeaderRepair, prepareHeader: Uint8Array): Uint8Array {
    const { op, place } = repair;
    assert(prepareHeader.length >= prepareHeaderBytes, 'a prepare starts with its header');
    if (this.header(op).state === 'bad') this.badHeaders -= 1;
    const record = encodeHeaderRecord(op, prepareHeader, place, this.identity);
    this.setSlot(op, record);
    if (op > this.highestHeader) this.highestHeader = op;
    return record;
  }

  /**
   * What torn writes left and nothing names: zeros again, so that every byte of the log can be accounted for. While a
   * header record is damaged nothing is cleared, since this may be the only trace of its prepare.
   */
  clearable(): readonly Damage[] {
    return this.badHeaders > 0 ? [] : this.damage.filter((damage) => !this.isClaimed(damage));
  }

  /** Where prepares lie that their header records name and that are not intact, by op. After `planRepairs`. */
  damagedPlaces(): ReadonlyMap<number, Location> {
    const places = new Map<number, Location>();
    for (let op = this.lowest; op <= this.highestHeader; op++) {
      const record = this.header(op);
      if (record.state === 'header' && this.index.place(op) === null) places.set(op, record.place);
    }
    return places;
  }

  noteUsed(segment: number, end: number): void {
    this.usedEnd.set(segment, Math.max(end, this.usedEnd.get(segment) ?? 0));
  }
}
