// pnpm bench:kernel [--json] [--rows N]
// Point inserts and updates from decoded commands, in batches of 512, each previous state kept alive until the
// next, validation, effects and state hash on, beside bare baselines doing the same key writes in the same run:
// a mutable Map, and a mutable B+tree (the kernel's own map under one edit token for ever).
import { applyBatch, decode, encode, initialState, query, stateHash, validate } from '../dist/index.js';
import { newEdit, OrderedMap } from '../dist/ordered-map.js';
import { intKey } from '../dist/key.js';

const json = process.argv.includes('--json');
const rowsAt = process.argv.indexOf('--rows');
const large = rowsAt < 0 ? 200_000 : Number(process.argv[rowsAt + 1]);
const small = Math.min(10_000, large);
const batchSize = 512;

/** xorshift32: the same keys in every run. */
function generator(seed) {
  let s = seed;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return s >>> 0;
  };
}

function randomKeys(count) {
  const next = generator(0x9e3779b9);
  const keys = new Set();
  while (keys.size < count) keys.add((next() % 0x200000) * 0x100000000 + next());
  return [...keys];
}

const now = () => Number(process.hrtime.bigint()) / 1e9;

function measure(work) {
  globalThis.gc?.();
  const start = now();
  const operations = work();
  return operations / (now() - start);
}

class Driver {
  constructor(indexed = false) {
    this.state = initialState();
    this.apply([
      { type: 'CreateTenant', tenantId: 1, name: 'bench' },
      { type: 'CreateTable', tenantId: 1, table: 't', columns: { id: 'int', value: 'text' }, primaryKey: ['id'] },
      ...(indexed ? [{ type: 'CreateIndex', tenantId: 1, table: 't', index: 'i', columns: ['value'] }] : []),
    ]);
  }

  apply(raw) {
    const { position, op, timestamp } = this.state;
    const entries = raw.map((each, i) => {
      const command = validate(each);
      if (!command.ok) throw new Error(command.error.message);
      return { position: position + 1 + i, op: op + 1, timestamp: timestamp + 1, session: 1, command: command.value };
    });
    this.previous = this.state;
    const applied = applyBatch(this.state, entries);
    for (const outcome of applied.outcomes) if (!outcome.ok) throw new Error(outcome.error.message);
    this.state = applied.state;
    return raw.length;
  }

  all(commands) {
    let done = 0;
    for (let i = 0; i < commands.length; i += batchSize) done += this.apply(commands.slice(i, i + batchSize));
    stateHash(this.state);
    return done;
  }
}

const insert = (id) => ({ type: 'Insert', tenantId: 1, table: 't', row: { id, value: `value of ${id}` } });
const update = (id) => ({ type: 'Update', tenantId: 1, table: 't', key: { id }, set: { value: `changed ${id}` } });

const results = [];
function report(name, rows, opsPerSecond, baselineOpsPerSecond) {
  results.push({
    name,
    rows,
    opsPerSecond: Math.round(opsPerSecond),
    baselineOpsPerSecond: Math.round(baselineOpsPerSecond),
    ratio: Number((opsPerSecond / baselineOpsPerSecond).toFixed(3)),
  });
}

function baselines(keys) {
  const map = new Map();
  const inMap = measure(() => {
    for (const key of keys) map.set(key, key);
    return keys.length;
  });
  const edit = newEdit();
  let tree = OrderedMap.empty();
  const inTree = measure(() => {
    for (const key of keys) tree = tree.set(intKey(key), key, edit);
    return keys.length;
  });
  return { inMap, inTree };
}

function writes(rows, label) {
  const keys = randomKeys(rows);
  const driver = new Driver();
  const inserts = keys.map(insert);
  const updates = keys.map((_, i) => update(keys[(i * 7919) % rows]));
  const inserted = measure(() => driver.all(inserts));
  const updated = measure(() => driver.all(updates));
  const { inMap, inTree } = baselines(keys);
  report(`insert ${label} vs mutable B+tree`, rows, inserted, inTree);
  report(`insert ${label} vs mutable Map`, rows, inserted, inMap);
  report(`update ${label} vs mutable B+tree`, rows, updated, inTree);
  return { driver, keys, inMap, inTree };
}

writes(small, 'warm-up');
results.length = 0;
writes(small, 'small');
const { driver, keys, inMap, inTree } = writes(large, 'large');

{
  const indexed = new Driver(true);
  const few = keys.slice(0, small).map(insert);
  report(
    'insert with one index vs mutable B+tree',
    small,
    measure(() => indexed.all(few)),
    inTree,
  );
}
{
  const once = new Driver();
  const named = keys.slice(0, 40_000).map((id) => ({ ...insert(id), idempotencyId: `request-${id}` }));
  report(
    'insert with idempotency id, window evicting',
    named.length,
    measure(() => once.all(named)),
    inTree,
  );
}
{
  const reads = measure(() => {
    for (let i = 0; i < 50_000; i++)
      query(driver.state, { tenantId: 1, table: 't', where: { id: keys[i % keys.length] } });
    return 50_000;
  });
  report('point query vs mutable Map write', large, reads, inMap);
  let chunks = [];
  const encoded = measure(() => {
    chunks = encode(driver.state);
    return large;
  });
  report('encode, rows a second', large, encoded, inTree);
  const decoded = measure(() => {
    if (!decode(chunks).ok) throw new Error('what was encoded decodes');
    return large;
  });
  report('decode, rows a second', large, decoded, inTree);
}

if (json) console.log(JSON.stringify(results));
else {
  for (const { name, rows, opsPerSecond, baselineOpsPerSecond, ratio } of results) {
    console.log(
      `${name.padEnd(46)} ${String(rows).padStart(8)} rows ${String(opsPerSecond).padStart(9)}/s  baseline ${String(baselineOpsPerSecond).padStart(9)}/s  ratio ${ratio}`,
    );
  }
}
