import { isLoopback } from './address.ts';

// A browser lets any web page connect to any address, loopback included. Two headers that a page cannot forge tell a
// stranger's page from our own: `Origin` names the page; `Host` names what the browser was told to reach, so that a
// page whose own name was made to resolve to this machine (DNS rebinding) is found out.

export interface AccessOptions {
  /** Names and addresses under which this node is reached, besides loopback. */
  readonly hosts: readonly string[];
  /** Origins of pages that may connect; asked anew each time, since members become known as they are met. */
  readonly origins: () => readonly string[];
}

/** The name in a Host header, without port and brackets; undefined when there is none or it is malformed. */
function hostOf(header: string | undefined): string | undefined {
  if (header === undefined || header === '' || /[/@\\\s]/.test(header)) return undefined;
  const url = `http://${header}`;
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '') : undefined;
}

/** The same page is reached under several loopback names; they count as one. */
function canonicalOrigin(origin: string): string {
  if (!URL.canParse(origin)) return origin;
  const url = new URL(origin);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isLoopback(host) ? `${url.protocol}//localhost:${url.port}` : url.origin;
}

export class Access {
  private readonly hosts: ReadonlySet<string>;
  private readonly origins: () => readonly string[];

  constructor(options: AccessOptions) {
    this.hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
    this.origins = options.origins;
  }

  /** `localAddress`: where the connection arrived; it counts as a name of this node. */
  hostAllowed(header: string | undefined, localAddress: string | undefined): boolean {
    const host = hostOf(header);
    if (host === undefined) return false;
    const local = localAddress?.replace(/^::ffff:/, '');
    return isLoopback(host) || this.hosts.has(host) || host === local;
  }

  /** Programs send no origin and are not what this protects against. */
  originAllowed(origin: string | undefined): boolean {
    if (origin === undefined) return true;
    const canonical = canonicalOrigin(origin);
    return this.origins().some((allowed) => canonicalOrigin(allowed) === canonical);
  }
}
