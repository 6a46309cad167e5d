import type { Server } from 'node:http';
import { type Address, formatAddress } from './address.ts';
import { flagOf, variableOf } from './config-keys.ts';

/** A port could not be opened. The message names the key and the fix. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

export type PortKey = 'client' | 'peer' | 'admin';

function explain(error: NodeJS.ErrnoException, address: Address, key: PortKey): string {
  const where = `the ${key} port ${formatAddress(address)}`;
  const change = `change \`${key}\` (${flagOf(key)}, ${variableOf(key)})${key === 'peer' ? ' and `replicas` on all nodes' : ''}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${where} is in use by another process, perhaps this very node: stop that one, or ${change}`;
    case 'EACCES':
      return `${where} needs a privileged user: use a port from 1024, or ${change}`;
    case 'EADDRNOTAVAIL':
      return `${where} is not an address of this machine: listen on 0.0.0.0, or ${change}`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${where} has a name that does not resolve: write an address, or ${change}`;
    default:
      return `${where} cannot be opened (${error.code ?? error.message}): ${change}`;
  }
}

/** Resolves to where the server listens: with port 0 the system has chosen one. */
export function listenOn(server: Server, address: Address, key: PortKey): Promise<Address> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(new ListenError(explain(error, address, key)));
    server.once('error', failed);
    server.listen({ host: address.host, port: address.port }, () => {
      server.off('error', failed);
      // Such as too many open files at accept: that one connection is lost, the port stays.
      server.on('error', () => {});
      const bound = server.address();
      const port = bound !== null && typeof bound === 'object' ? bound.port : address.port;
      resolve({ host: address.host, port });
    });
  });
}
