import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { StatusRow } from '@kimberlite/wire';
import type { Registry } from 'prom-client';
import type { Access } from './access.ts';
import type { Address } from './address.ts';
import { type AdminActions, actionHeader, actionOf } from './admin-actions.ts';
import { type HealthCheck, reportHealth } from './health.ts';
import { listenOn } from './listen.ts';
import { headerBytesMax } from './socket-limits.ts';

export interface AdminOptions {
  readonly access: Access;
  /** The page at `/`, complete in itself. */
  readonly page: string;
  readonly registry: Registry;
  readonly status: () => StatusRow;
  /** Is the process sound? Kubernetes restarts it when not. */
  readonly live: () => readonly HealthCheck[];
  /** Can it serve clients now? */
  readonly ready: () => readonly HealthCheck[];
  /** Has it come up? */
  readonly started: () => readonly HealthCheck[];
  readonly actions: AdminActions;
}

const requestTimeoutMs = 5000;

/** Health, metrics, status and the dashboard; and what operators ask for. Owns the admin port. */
export class AdminHttp {
  private readonly options: AdminOptions;
  private readonly server: Server;

  constructor(options: AdminOptions) {
    this.options = options;
    this.server = createServer(
      { maxHeaderSize: headerBytesMax, requestTimeout: requestTimeoutMs },
      (request, response) => {
        this.answer(request, response).catch((error: unknown) => {
          if (!response.headersSent) reply(response, 500, 'text/plain', `${String(error)}\n`);
          else response.destroy();
        });
      },
    );
  }

  /** Rejects with a `ListenError`. */
  listen(address: Address): Promise<Address> {
    return listenOn(this.server, address, 'admin');
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { access } = this.options;
    const { host, origin } = request.headers;
    if (!access.hostAllowed(host, request.socket.localAddress)) {
      const why = `this node is not called "${host ?? ''}": add the name to allowedHosts if it is yours\n`;
      return reply(response, 403, 'text/plain', why);
    }
    response.setHeader('vary', 'Origin');
    if (origin !== undefined) {
      // Its own page names this very address as its origin where a browser sends one at all.
      if (!access.originAllowed(origin) && origin !== `http://${host ?? ''}`) {
        const why = `pages of ${origin} may not read this: add the origin to allowedOrigins if it is yours\n`;
        return reply(response, 403, 'text/plain', why);
      }
      response.setHeader('access-control-allow-origin', origin);
    }
    if (request.method === 'POST' && request.headers[actionHeader] !== undefined) return this.act(request, response);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return reply(
        response,
        405,
        'text/plain',
        'this port is for reading, and for `kimberlite member`, `recover` and `transfer`\n',
      );
    }
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    return this.route(path, response);
  }

  /** The command line's `member`, `recover` and `transfer`. The body is not read. */
  private async act(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const action = actionOf(request, this.options.actions);
    if (action === null) {
      return reply(
        response,
        404,
        'text/plain',
        'try /transfer or /members/N/ with add, promote, remove, hand-over or replace\n',
      );
    }
    const answer = await action();
    reply(response, answer.ok ? 200 : 409, 'application/json', `${JSON.stringify(answer)}\n`);
  }

  private async route(path: string, response: ServerResponse): Promise<void> {
    const { live, ready, started, registry, status, page } = this.options;
    switch (path) {
      case '/':
        response.setHeader('content-security-policy', pagePolicy);
        return reply(response, 200, 'text/html', page);
      case '/livez':
        return health(response, live());
      case '/readyz':
        return health(response, ready());
      case '/startupz':
        return health(response, started());
      case '/status':
        return reply(response, 200, 'application/json', `${JSON.stringify(status())}\n`);
      case '/metrics':
        response.setHeader('content-type', registry.contentType);
        response.end(await registry.metrics());
        return;
      default:
        return reply(response, 404, 'text/plain', 'try /, /status, /metrics, /livez, /readyz or /startupz\n');
    }
  }
}

/** The page needs its own script and style and other nodes' `/status`; it can be framed by nobody. */
const pagePolicy =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self' http: https:; " +
  "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

function health(response: ServerResponse, checks: readonly HealthCheck[]): void {
  const { healthy, text } = reportHealth(checks);
  reply(response, healthy ? 200 : 503, 'text/plain', text);
}

function reply(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
