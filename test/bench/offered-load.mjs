import { connect, KimberliteError } from '@kimberlite/client';

const tickMs = 2;

/** Latencies in milliseconds as a sorted array's percentiles. */
function percentile(sorted, p) {
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))];
}

/**
 * Load at a fixed rate, whatever the answers do: a call is made when its time has come, and its latency counts from
 * that time, so that a cluster that stalls cannot slow down the asking and look good.
 */
export class OfferedLoad {
  #clients = [];
  #tables = [];
  #value;

  static async join({ endpoints, connections = 10, valueBytes = 256, tenantId = 7 }) {
    const load = new OfferedLoad();
    load.#value = new Uint8Array(valueBytes).fill(0x61);
    for (let i = 0; i < connections; i++) load.#clients.push(await connect({ endpoints }));
    const [db] = load.#clients;
    const exists = (error) => {
      if (!(error instanceof KimberliteError && error.code.endsWith('AlreadyExists'))) throw error;
    };
    await db.createTenant({ tenantId, name: 'offered load' }).catch(exists);
    await db
      .tenant(tenantId)
      .createTable('load', { columns: { id: 'int', value: 'bytes' }, primaryKey: ['id'] })
      .catch(exists);
    load.#tables = load.#clients.map((client) => client.tenant(tenantId).table('load'));
    return load;
  }

  /** As fast as it goes with that many calls in flight; operations per second. */
  async maximum({ seconds, concurrency = 1000 }) {
    const endAt = performance.now() + seconds * 1000;
    let done = 0;
    const lane = async (i) => {
      for (let turn = i; performance.now() < endAt; turn += concurrency) {
        await this.#call(turn);
        done += 1;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, (_, i) => lane(i)));
    return done / seconds;
  }

  /** Writes at that rate for that long. Latencies in milliseconds; `throughput` counts what was acknowledged in time. */
  async offer({ opsPerSecond, seconds, inFlightMax = 20_000 }) {
    const latencies = [];
    const startedAt = performance.now();
    const endAt = startedAt + seconds * 1000;
    let issued = 0;
    let inFlight = 0;
    let errors = 0;
    let skipped = 0;
    let inTime = 0;
    const issue = (dueAt) => {
      inFlight += 1;
      this.#call(issued++).then(
        () => {
          const now = performance.now();
          inFlight -= 1;
          latencies.push(now - dueAt);
          if (now <= endAt) inTime += 1;
        },
        () => {
          inFlight -= 1;
          errors += 1;
        },
      );
    };
    let due = 0;
    for (let now = startedAt; now < endAt; now = performance.now()) {
      for (; startedAt + (due * 1000) / opsPerSecond <= now; due++) {
        if (inFlight >= inFlightMax) skipped += 1;
        else issue(startedAt + (due * 1000) / opsPerSecond);
      }
      await new Promise((resolve) => setTimeout(resolve, tickMs));
    }
    const drainedBy = performance.now() + 15_000;
    while (inFlight > 0 && performance.now() < drainedBy) await new Promise((resolve) => setTimeout(resolve, tickMs));
    latencies.sort((a, b) => a - b);
    return {
      offered: due,
      throughput: inTime / seconds,
      errors,
      skipped,
      unanswered: inFlight,
      p50Ms: percentile(latencies, 50),
      p99Ms: percentile(latencies, 99),
      maxMs: latencies.at(-1) ?? Number.NaN,
    };
  }

  close() {
    return Promise.all(this.#clients.map((client) => client.close()));
  }

  #call(turn) {
    return this.#tables[turn % this.#tables.length].upsert({ id: (turn * 7919) % 10_000, value: this.#value });
  }
}
