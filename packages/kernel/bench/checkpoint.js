// pnpm bench:checkpoint [--json] [--rows N] [--value BYTES] [--indexes N] [--piece BYTES]
// A state of N rows (id, a short text, a number; random 64-bit keys, up to four indexes) drawn as a checkpoint and read back
// in pieces: throughput, and the longest that one turn of the event loop has to wait for a chunk, a piece or the end.
import { applyBatch, decoder, encodeChunks, initialState, stateHash, validate } from '../dist/index.js';

const json = process.argv.includes('--json');
const option = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const rows = option('--rows', 1_000_000);
const indexes = option('--indexes', 0);
/** Bytes of the text in each row; 0: a short one. */
const valueBytes = option('--value', 0);
const pieceBytes = option('--piece', 262_144);
const batchSize = 512;

const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

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

function apply(state, raw) {
  const { position, op, timestamp } = state;
  const entries = raw.map((each, i) => {
    const command = validate(each);
    if (!command.ok) throw new Error(command.error.message);
    return { position: position + 1 + i, op: op + 1, timestamp: timestamp + 1, session: 1, command: command.value };
  });
  const applied = applyBatch(state, entries);
  for (const outcome of applied.outcomes) if (!outcome.ok) throw new Error(outcome.error.message);
  return applied.state;
}

function build() {
  const table = { tenantId: 1, table: 't' };
  const columns = { id: 'int', value: 'text', n: 'int' };
  let state = apply(initialState(), [
    { type: 'CreateTenant', tenantId: 1, name: 'bench' },
    { type: 'CreateTable', ...table, columns, primaryKey: ['id'] },
    ...['n', 'value', 'id', 'n'].slice(0, indexes).map((column, i) => {
      return { type: 'CreateIndex', ...table, index: `i${i}`, columns: i === 3 ? [column, 'value'] : [column] };
    }),
    { type: 'SetBudget', budgetBytes: 8_000_000_000 },
  ]);
  const next = generator(0x9e3779b9);
  for (let i = 0; i < rows; i += batchSize) {
    const batch = [];
    for (let k = i; k < Math.min(i + batchSize, rows); k++) {
      const id = (next() % 0x200000) * 0x100000000 + next();
      batch.push({ type: 'Upsert', ...table, row: { id, value: `value of ${id}`.padEnd(valueBytes, '-'), n: next() } });
    }
    state = apply(state, batch);
  }
  return state;
}

/** Times each step that `step` takes until it says that there are no more. */
function slices(step) {
  globalThis.gc?.();
  const times = [];
  const start = nowMs();
  for (;;) {
    const before = nowMs();
    const more = step();
    if (!more) break;
    times.push(nowMs() - before);
  }
  const totalMs = nowMs() - start;
  times.sort((a, b) => a - b);
  const of = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { totalMs, medianMs: of(0.5), p99Ms: of(0.99), longestMs: of(1) };
}

const results = [];
function report(name, bytes, { totalMs, medianMs, p99Ms, longestMs }, finishMs) {
  const rounded = (value) => Number(value.toFixed(3));
  results.push({
    name,
    rows,
    megabytesPerSecond: rounded(bytes / 1e3 / totalMs),
    rowsPerSecond: Math.round((rows / totalMs) * 1e3),
    medianMs: rounded(medianMs),
    p99Ms: rounded(p99Ms),
    longestMs: rounded(longestMs),
    ...(finishMs === undefined ? {} : { finishMs: rounded(finishMs) }),
  });
}

/** The chunks are not kept, as a node does not keep them: a heap that grows with them would be what is measured. */
function encoded(state, name) {
  const generated = encodeChunks(state);
  let bytes = 0;
  const times = slices(() => {
    const { done, value } = generated.next();
    if (!done) bytes += value.length;
    return !done;
  });
  if (name !== undefined) report(name, bytes, times);
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of encodeChunks(state)) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function decoded(whole, hash, name) {
  const { push, finish } = decoder();
  let at = 0;
  const times = slices(() => {
    if (at >= whole.length) return false;
    if (!push(whole.subarray(at, at + pieceBytes)).ok) throw new Error('what was encoded decodes');
    at += pieceBytes;
    return true;
  });
  const before = nowMs();
  const state = finish();
  const finishMs = nowMs() - before;
  if (!state.ok || stateHash(state.value) !== hash) throw new Error('what was encoded is what is decoded');
  if (name !== undefined) report(name, whole.length, times, finishMs);
}

const state = build();
const hash = stateHash(state);
// The first time around is for the compiler.
for (const final of [false, true]) {
  const whole = encoded(state, final ? 'encode, by chunk' : undefined);
  decoded(whole, hash, final ? `decode with ${indexes} indexes, by ${pieceBytes} bytes` : undefined);
}

if (json) console.log(JSON.stringify(results));
else {
  for (const { name, megabytesPerSecond, rowsPerSecond, medianMs, p99Ms, longestMs, finishMs } of results) {
    const end = finishMs === undefined ? '' : `  finish ${finishMs.toFixed(2)} ms`;
    console.log(
      `${name.padEnd(40)} ${String(rows).padStart(8)} rows ${megabytesPerSecond.toFixed(1).padStart(6)} MB/s ${String(rowsPerSecond).padStart(8)} rows/s  slice median ${medianMs.toFixed(2)} p99 ${p99Ms.toFixed(2)} longest ${longestMs.toFixed(2)} ms${end}`,
    );
  }
}
