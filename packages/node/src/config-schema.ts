import { type ClusterId, clusterId, frameBytesMax, type ReplicaId, replicaId, replicasMax } from '@kimberlite/base';
import { z } from 'zod';
import { type Address, parseAddress } from './address.ts';
import type { LogLevel } from './config.ts';

// Values arrive as text from every source, so one schema serves file, environment and flags. Each message is half a
// sentence that follows the key's name, and each problem carries its fix.

/** The fix that a schema below attached to its issue. */
export function fixOf(issue: z.core.$ZodIssue): string | undefined {
  const params = issue.code === 'custom' ? issue.params : undefined;
  const fix: unknown = params?.['fix'];
  return typeof fix === 'string' ? fix : undefined;
}

const missing = (input: unknown, otherwise: string): string =>
  input === undefined ? 'is missing' : input === null ? 'is empty' : otherwise;

const text = z.string({ error: (issue) => missing(issue.input, 'is not a single value') });

type Parse<T> = (value: string, refuse: (message: string, fix: string) => never) => T;

class Refused extends Error {
  readonly fix: string;
  constructor(message: string, fix: string) {
    super(message);
    this.fix = fix;
  }
}

/** A schema from a function that either gives the value or refuses with what is wrong and how to repair it. */
const parsedText = <T>(parse: Parse<T>) =>
  text.transform((value, context): T => {
    try {
      return parse(value.trim(), (message, fix) => {
        throw new Refused(message, fix);
      });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      context.addIssue({ code: 'custom', message: error.message, params: { fix: error.fix } });
      return z.NEVER;
    }
  });

const howToMakeId =
  'Make one with `node -p "crypto.randomBytes(16).toString(\'hex\')"` and give all nodes of the cluster the same.';

const cluster = parsedText<ClusterId>((value, refuse) => {
  if (/^[0-9a-f]{32}$/.test(value)) return clusterId(value);
  if (/^[0-9a-f-]{32,36}$/i.test(value) && value.replaceAll('-', '').length === 32)
    return refuse('must be written in lower case without dashes', `Write ${value.replaceAll('-', '').toLowerCase()}.`);
  return refuse(`must be 32 hex digits, not ${quote(value)}`, howToMakeId);
});

const whole = (unit: string, low: number, high: number) =>
  parsedText<number>((value, refuse) => {
    const number = Number(value.replaceAll('_', ''));
    if (value !== '' && Number.isSafeInteger(number) && number >= low && number <= high) return number;
    return refuse(
      `must be a whole number of ${unit} from ${low} to ${high}, not ${quote(value)}`,
      `Write digits only, at least ${low} and at most ${high}.`,
    );
  });

const replica = parsedText<ReplicaId>((value, refuse) => {
  if (/^\d$/.test(value) && Number(value) < replicasMax) return replicaId(Number(value));
  return refuse(
    `must be a number from 0 to ${replicasMax - 1}, not ${quote(value)}`,
    'Write the index of this node in `replicas`, counting from 0.',
  );
});

const address = parsedText<Address>((value, refuse) => {
  const parsed = parseAddress(value);
  if (parsed.ok) return parsed.value;
  return refuse(`is ${parsed.error} (${quote(value)})`, 'Write "host:port", for example "127.0.0.1:7001".');
});

const list = <T extends z.ZodType>(item: T, what: string) =>
  z.array(item, { error: (issue) => missing(issue.input, `must be a list of ${what}`) });

const url = (schemes: readonly string[], example: string) =>
  parsedText<string>((value, refuse) => {
    const parsed = URL.canParse(value) ? new URL(value) : undefined;
    if (parsed !== undefined && schemes.includes(parsed.protocol) && parsed.username === '' && parsed.hash === '')
      return value.replace(/\/+$/, '');
    return refuse(`is no ${schemes.join(' or ')} URL (${quote(value)})`, `Write something like ${example}.`);
  });

/** `http://host:port`, exactly as a browser sends it. */
const origin = parsedText<string>((value, refuse) => {
  const parsed = URL.canParse(value) ? new URL(value) : undefined;
  if (value === '*')
    return refuse('must not be "*": any web page could then use the cluster', 'List the origins of your own pages.');
  if (parsed !== undefined && parsed.origin !== 'null' && value.replace(/\/$/, '') === parsed.origin)
    return parsed.origin;
  return refuse(
    `is not an origin (${quote(value)})`,
    'Write scheme, host and port and nothing else: "https://app.example.com".',
  );
});

const allowedHost = parsedText<string>((value, refuse) => {
  if (/^[a-z0-9._:-]+$/i.test(value) && !/:\d+$/.test(value.replace(/^[^:]*$/, ''))) return value.toLowerCase();
  return refuse(`is not a plain host name (${quote(value)})`, 'Write the name alone, without scheme and port.');
});

const secretLengthMin = 16;
const secret = parsedText<string>((value, refuse) =>
  value.length >= secretLengthMin
    ? value
    : refuse(
        `has ${value.length} characters; at least ${secretLengthMin} are needed`,
        'Make one with `node -p "crypto.randomBytes(24).toString(\'base64url\')"` and give it to all nodes.',
      ),
);

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
const level = parsedText<LogLevel>(
  (value, refuse) =>
    levels.find((known) => known === value) ??
    refuse(`is unknown (${quote(value)})`, `Use one of ${levels.join(', ')}.`),
);

const dataDir = parsedText<string>((value, refuse) =>
  value === '' || value.includes('\0')
    ? refuse('is not a path', 'Write the path of a directory that belongs to this node alone.')
    : value,
);

function quote(value: string): string {
  return value.length > 64 ? `"${value.slice(0, 61)}…"` : `"${value}"`;
}

const gibibyte = 1_073_741_824;
const queueBytes = whole('bytes', frameBytesMax, gibibyte);

export const configSchema = z.strictObject({
  clusterId: cluster,
  replica,
  dataDir,
  replicas: list(address, '"host:port" addresses'),
  client: address.optional(),
  peer: address.optional(),
  admin: address.optional(),
  advertisedClient: url(['ws:', 'wss:'], '"ws://db-0.example.com:7001"').optional(),
  advertisedAdmin: url(['http:', 'https:'], '"http://db-0.example.com:7021"').optional(),
  allowedOrigins: list(origin, 'origins').optional(),
  allowedHosts: list(allowedHost, 'host names').optional(),
  peerSecret: secret.optional(),
  logLevel: level.optional(),
  peerQueueBytes: queueBytes.optional(),
  clientQueueBytes: queueBytes.optional(),
  clientQueueBytesTotal: whole('bytes', frameBytesMax, 16 * gibibyte).optional(),
  clientsMax: whole('connections', 1, 65_536).optional(),
  // Fewer ops would write the state more often than the log.
  checkpointInterval: whole('ops', 16, 1_048_576).optional(),
  scrubSeconds: whole('seconds', 1, 31_536_000).optional(),
  stopGraceMs: whole('milliseconds', 0, 60_000).optional(),
});

export type ConfigValues = z.infer<typeof configSchema>;
