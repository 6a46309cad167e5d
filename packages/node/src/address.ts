import { err, ok, type Result } from '@kimberlite/base';

/** Where something listens or is reached. An IPv6 address is kept without its brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const hostName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,62}[a-z0-9_])?)*\.?$/i;
const ipv6 = /^[0-9a-f:.]+(%[\w.]+)?$/i;

/** `host:port` or `[ipv6]:port`. The error is half a sentence that follows "is". */
export function parseAddress(text: string): Result<Address, string> {
  if (/^[a-z]+:\/\//i.test(text)) return err('a URL where only "host:port" is wanted');
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  if (match === null) {
    if (/^\d+$/.test(text)) return err('a port without a host');
    if (!text.includes(':')) return err('without a port');
    return err('not of the form "host:port" (an IPv6 address goes in brackets)');
  }
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  if (port > 65_535) return err(`with port ${port}, beyond 65535`);
  if (match[1] !== undefined ? !(ipv6.test(host) && host.includes(':')) : !hostName.test(host))
    return err(host === '' ? 'without a host' : `with "${host}", which is no host name or address`);
  return ok({ host: host.toLowerCase(), port });
}

export const formatAddress = ({ host, port }: Address): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Listening there means every interface; nobody can be told to connect to it. */
export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

/** Names and addresses that never leave this machine. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' ||
  host.endsWith('.localhost') ||
  host === '::1' ||
  /^127(\.\d{1,3}){3}$/.test(host) ||
  /^::ffff:127(\.\d{1,3}){3}$/.test(host);

/** What to dial or to print for something bound to `bound`: a wildcard becomes the loopback address. */
export const reachable = (bound: Address): Address =>
  isWildcard(bound.host) ? { host: bound.host === '::' ? '::1' : '127.0.0.1', port: bound.port } : bound;
