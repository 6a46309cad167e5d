import type { Checksum, Prepare, PrepareHeader, RecoveredLog } from '@kimberlite/base';
import { type HeaderRecord, recoverLog } from '@kimberlite/log';
import type { DurableState } from '@kimberlite/vsr';

/**
 * One op's place on the disk, as opening the log would find it: H and B of Table D. A segment is only ever appended
 * to, so a write that is lost leaves what was there before.
 */
export type DurableSlot =
  /** The prepare, whole; and its header record, since opening the log writes one that is missing. */
  | { readonly kind: 'intact'; readonly prepare: Prepare }
  /** The header record is whole and the prepare is not: rot. */
  | { readonly kind: 'damaged'; readonly header: PrepareHeader }
  /** The header record is torn, and what else is there might be its prepare or a newer one. */
  | { readonly kind: 'torn' };

/** What a replica finds when it boots. Immutable: each change makes another one. */
export interface DurableImage {
  readonly superblock: DurableState;
  readonly slots: ReadonlyMap<number, DurableSlot>;
}

export const emptyImage = (superblock: DurableState): DurableImage => ({ superblock, slots: new Map() });

export const withSuperblock = (image: DurableImage, superblock: DurableState): DurableImage => ({
  ...image,
  superblock,
});

export function withSlot(image: DurableImage, op: number, slot: DurableSlot): DurableImage {
  return { ...image, slots: new Map(image.slots).set(op, slot) };
}

export const withPrepare = (image: DurableImage, prepare: Prepare): DurableImage =>
  withSlot(image, prepare.header.op, { kind: 'intact', prepare });

/** The prepare with that id, if a read started now would bring it. */
export function readImage(image: DurableImage, op: number, id: Checksum): Prepare | null {
  const slot = image.slots.get(op);
  return slot?.kind === 'intact' && slot.prepare.header.id === id ? slot.prepare : null;
}

const nowhere = { segment: 1, offset: 0, lengthBytes: 0 };

function headerRecord(slot: DurableSlot | undefined): HeaderRecord {
  if (slot === undefined) return { state: 'none' };
  if (slot.kind === 'torn') return { state: 'bad' };
  const header = slot.kind === 'intact' ? slot.prepare.header : slot.header;
  return { state: 'header', header, place: nowhere };
}

/** Table D, as the log applies it when it is opened. */
export function recoverImage({ superblock, slots }: DurableImage): RecoveredLog {
  const source = {
    highest: Math.max(0, ...slots.keys()),
    header: (op: number) => headerRecord(slots.get(op)),
    body: (op: number) => {
      const kind = slots.get(op)?.kind;
      return kind === undefined ? 'none' : kind === 'intact' ? 'intact' : 'bad';
    },
  } as const;
  return recoverLog(source, superblock);
}
