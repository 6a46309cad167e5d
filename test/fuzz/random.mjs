/** Seeded, so that a failing campaign can be run again: xorshift over 32 bits. */
export class Random {
  #state;

  constructor(seed) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  }

  next() {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** 0 to `bound` - 1. */
  below(bound) {
    return this.next() % bound;
  }

  chance(oneIn) {
    return this.below(oneIn) === 0;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  bytes(length) {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.next() >>> 11;
    return bytes;
  }

  hex(length) {
    return Buffer.from(this.bytes(length / 2)).toString('hex');
  }
}
