import { Database } from './database.ts';
import { Driver, durationRule, isDuration } from './driver.ts';
import { failure, KimberliteError } from './session/failure.ts';
import type { ClientTiming } from './session/limits.ts';
import { platform } from './socket.ts';

export interface ConnectOptions {
  /** `ws://host:port` of client ports; any of them is enough, the others are learnt. */
  readonly endpoints: readonly string[];
  /** Milliseconds until `connect` gives up; default 5000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds of every call without its own; default 30,000. */
  readonly timeoutMs?: number;
  /** `auto`: ints are numbers when safe, else bigint. `bigint`: always bigint. */
  readonly ints?: 'auto' | 'bigint';
  /** Gives up on connecting. */
  readonly signal?: AbortSignal;
  /** Pauses and patience in detail; the defaults are meant to be kept. */
  readonly timing?: Partial<ClientTiming>;
}

const connectTimeoutMsDefault = 5_000;

function checkEndpoints(endpoints: unknown): asserts endpoints is readonly string[] {
  const complain = (what: string): never => {
    throw new TypeError(`connect: ${what}; give endpoints like ['ws://127.0.0.1:7001'].`);
  };
  if (!Array.isArray(endpoints) || endpoints.length === 0) complain('endpoints is not a list with at least one entry');
  for (const endpoint of endpoints as readonly unknown[]) {
    if (typeof endpoint !== 'string' || !/^wss?:\/\/[^/\s]+\/?$/.test(endpoint))
      complain(`${JSON.stringify(endpoint)} is no endpoint`);
  }
}

/**
 * Connects to a cluster. Resolves when any replica has answered, whether or not there is a primary just now;
 * rejects with code `ConnectFailed` when none did in time.
 */
export async function connect(options: ConnectOptions): Promise<Database> {
  const { endpoints, timeoutMs, ints = 'auto', connectTimeoutMs = connectTimeoutMsDefault, signal } = options;
  checkEndpoints(endpoints);
  for (const [name, value] of Object.entries({ timeoutMs, connectTimeoutMs })) {
    if (value !== undefined && !isDuration(value)) throw new TypeError(`connect: ${name} ${durationRule}.`);
  }
  const timing = { ...options.timing, ...(timeoutMs === undefined ? {} : { callTimeoutMs: timeoutMs }) };
  const abortedFailure = (): KimberliteError =>
    new KimberliteError(failure('Aborted', 'not-applied', 'The signal was aborted while connecting.'));
  const isAborted = (): boolean => signal?.aborted === true;
  if (isAborted()) throw abortedFailure();
  const driver = new Driver(await platform(), endpoints, timing);
  const welcomed = await driver.open(connectTimeoutMs, signal);
  if (welcomed) return new Database(driver, ints);
  const { troubles } = driver.look();
  await driver.close();
  if (isAborted()) throw abortedFailure();
  const said = troubles.length > 0 ? troubles.join('; ') : `${endpoints.join(', ')}: no answer`;
  const text = `No Kimberlite node answered within ${connectTimeoutMs} ms (${said}). Check that the cluster runs, that these are its client ports, and that nothing in between blocks WebSockets.`;
  throw new KimberliteError({ ...failure('ConnectFailed', 'not-applied', text), retryable: true });
}
