import { connect, KimberliteError } from '@kimberlite/client';

const registers = 64;

/** An ordinary client beside whatever else happens: writes, reads back, and remembers what it was told. */
export class Witness {
  writes = 0;
  reads = 0;
  slowestMs = 0;
  problems = [];
  #db;
  #table;
  #last = new Map();
  #state = { running: false };
  #loops = [];

  static async join(endpoints, tenantId = 1) {
    const witness = new Witness();
    const db = await connect({ endpoints });
    witness.#db = db;
    await db.createTenant({ tenantId, name: 'witness' });
    const tenant = db.tenant(tenantId);
    await tenant.createTable('registers', { columns: { id: 'int', value: 'int' }, primaryKey: ['id'] });
    witness.#table = tenant.table('registers');
    return witness;
  }

  start(lanes = 8) {
    this.#state.running = true;
    this.#loops = Array.from({ length: lanes }, (_, lane) => this.#run(lane, lanes));
  }

  /** Each lane owns its registers, so what it reads must be what it wrote last. */
  async #run(lane, lanes) {
    for (let value = 1; this.#state.running; value++) {
      const id = lane + lanes * (value % Math.floor(registers / lanes));
      const since = performance.now();
      try {
        const { position } = await this.#table.upsert({ id, value });
        this.#last.set(id, { value, position });
        this.writes += 1;
        const row = await this.#table.get({ id });
        this.reads += 1;
        if (row?.value !== value)
          this.problems.push(`register ${id} was ${row?.value} after ${value} was acknowledged`);
      } catch (error) {
        if (!(error instanceof KimberliteError)) throw error;
        this.problems.push(`a call failed: ${error.code}: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - since);
    }
  }

  async stop() {
    this.#state.running = false;
    await Promise.all(this.#loops);
  }

  /** Everything that was acknowledged is there, written by the very command that was acknowledged. */
  async check() {
    const { rows } = await this.#table.query({ select: ['id', 'value', '$version'] });
    const found = new Map(rows.map((row) => [row.id, row]));
    for (const [id, { value, position }] of this.#last) {
      const row = found.get(id);
      if (row?.value !== value || row.$version !== position)
        this.problems.push(`register ${id}: acknowledged ${value} at ${position}, found ${JSON.stringify(row)}`);
    }
    return this.problems;
  }

  close() {
    return this.#db.close();
  }
}
