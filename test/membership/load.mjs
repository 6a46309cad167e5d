// Clients that write all the while, and what they noticed, step by step.

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const percentile = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? 0;
const tenths = (value) => Math.round(value * 10) / 10;

function rowOf({ name, latencies, seconds }) {
  const sorted = [...latencies].sort((a, b) => a - b);
  return {
    step: name,
    seconds: tenths(seconds),
    writes: sorted.length,
    p50Ms: tenths(percentile(sorted, 50)),
    p99Ms: tenths(percentile(sorted, 99)),
    maxMs: tenths(sorted.at(-1) ?? 0),
  };
}

/** So many writers, each with one insert under way. `restMs` between two of one writer's leaves the machine some room. */
export class Load {
  acknowledged = [];
  failure = null;
  #steps = [];
  #step = { name: '', latencies: [], seconds: 0 };
  #stopped = false;
  #next = 0;
  #writers;

  constructor(table, { clients, text, restMs = 0 }) {
    const write = async () => {
      while (!this.#stopped) {
        const id = this.#next++;
        const began = performance.now();
        await table.insert({ id, text: text(id) }, { timeoutMs: 60_000 });
        this.#step.latencies.push(performance.now() - began);
        this.acknowledged.push(id);
        if (restMs > 0) await pause(restMs / 1000);
      }
    };
    this.#writers = Promise.all(Array.from({ length: clients }, write)).catch((error) => (this.failure = error));
  }

  /** What `act` does, and a while of load behind it. */
  async during(name, seconds, act = async () => {}) {
    process.stderr.write(`${name} …\n`);
    this.#step = { name, latencies: [], seconds: 0 };
    this.#steps.push(this.#step);
    const began = performance.now();
    const answer = await act();
    await pause(seconds);
    this.#step.seconds = (performance.now() - began) / 1000;
    return answer;
  }

  async stop() {
    this.#stopped = true;
    await this.#writers;
  }

  rows() {
    return this.#steps.map(rowOf);
  }
}

/** Every id of the table, in order. */
export async function readIds(tenant) {
  const ids = [];
  let cursor;
  do {
    const page = await tenant
      .table('t')
      .query({ select: ['id'], orderBy: ['id'], limit: 1000, ...(cursor ? { cursor } : {}) });
    ids.push(...page.rows.map(({ id }) => id));
    cursor = page.cursor;
  } while (cursor);
  return ids;
}

/** What is wrong with the rows that are there, beside those that were acknowledged. */
export function compareIds(acknowledged, ids) {
  const there = new Set(ids);
  const failures = there.size === ids.length ? [] : ['a row is there twice'];
  const lost = acknowledged.filter((id) => !there.has(id));
  if (lost.length > 0) failures.push(`${lost.length} acknowledged rows are lost: ${lost.slice(0, 5)}`);
  return { lost: lost.length, failures };
}
