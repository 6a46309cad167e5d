import { type RandomState, randomInt, randomPick } from '@kimberlite/base';

/** The byte of a peer's frame that says what kind of message is in it: the first behind the frame's header. */
const messageTypeOffset = 16;
/** Frames kept of each kind. */
const framesPerTypeMax = 6;

interface Kept {
  readonly frames: Uint8Array[];
  seen: number;
}

/**
 * Old frames of one link, a few of every kind of message and from all of the run so far, so that what is sent again may
 * be of an earlier view or of an earlier incarnation of its sender.
 */
export class FrameArchive {
  private readonly kept = new Map<number, Kept>();

  add(random: RandomState, frame: Uint8Array): void {
    const type = frame[messageTypeOffset] ?? 0;
    let kept = this.kept.get(type);
    if (kept === undefined) {
      kept = { frames: [], seen: 0 };
      this.kept.set(type, kept);
    }
    kept.seen += 1;
    if (kept.frames.length < framesPerTypeMax) {
      kept.frames.push(frame);
      return;
    }
    // Each frame so far is among them with the same chance.
    const at = randomInt(random, 0, kept.seen - 1);
    if (at < framesPerTypeMax) kept.frames[at] = frame;
  }

  /** Any kind of message with the same chance, however seldom it is sent; null when there is none. */
  draw(random: RandomState): Uint8Array | null {
    if (this.kept.size === 0) return null;
    const { frames } = randomPick(random, [...this.kept.values()]);
    return randomPick(random, frames);
  }
}
