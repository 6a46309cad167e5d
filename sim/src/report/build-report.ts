import { unreachable } from '@kimberlite/base';
import { messageLabel } from './format-event.ts';
import type { RecordedRun } from './record-run.ts';
import { reportCalls } from './report-calls.ts';
import { type ReportData, type ReportRow, type RowKind, rowKinds } from './report-data.ts';
import { isDurable, messageFamilies, type Party, type ReplicaSummary, type RunEvent } from './run-event.ts';

/** Events a page holds; of a longer run the ones before the failure. */
export const reportEventsMax = 100_000;
/** Events after the failure: what was under way when it was seen. */
const afterFailureMax = 1_000;

/** Gives each text, and each state, a number. */
class Interned<T> {
  readonly values: T[] = [];
  private readonly known = new Map<string, number>();

  add(key: string, value: T): number {
    const found = this.known.get(key);
    if (found !== undefined) return found;
    this.known.set(key, this.values.length);
    this.values.push(value);
    return this.values.length - 1;
  }
}

class RowWriter {
  readonly rows: ReportRow[] = [];
  readonly strings = new Interned<string>();
  readonly states = new Interned<ReplicaSummary>();
  private readonly sentRows = new Map<number, number>();
  private readonly replicas: number;
  private lastUs: number;

  constructor(replicas: number, startUs: number) {
    this.replicas = replicas;
    this.lastUs = startUs;
  }

  write(event: RunEvent): void {
    switch (event.kind) {
      case 'sent': {
        const { id, from, to, message, bytes } = event;
        this.sentRows.set(id, this.rows.length);
        const family = messageFamilies.indexOf(message.family);
        const texts = [this.text(messageLabel(message)), this.text(message.detail)];
        return this.row(event, 'sent', this.lane(from), this.lane(to), family, ...texts, bytes);
      }
      case 'received': {
        const { id, from, to, message, copy, after } = event;
        const sent = id === null ? -1 : (this.sentRows.get(id) ?? -1);
        const family = messageFamilies.indexOf(message.family);
        const label = this.text(messageLabel(message));
        return this.row(
          event,
          'received',
          this.lane(from),
          this.lane(to),
          sent,
          copy,
          this.state(after),
          family,
          label,
        );
      }
      case 'disk-started':
        return this.plain(
          event,
          'disk-started',
          event.replica,
          `${event.call} ${event.file} ${event.detail}`.trimEnd(),
        );
      case 'disk-done': {
        const { call, file, detail, error, replica, after } = event;
        const kind = error !== null ? 'disk-failed' : isDurable(call) ? 'synced' : 'disk-done';
        const text = `${call} ${file} ${detail}`.trimEnd() + (error === null ? '' : `: ${error}`);
        return this.plain(event, kind, replica, text, -1, this.state(after));
      }
      case 'timer':
        return this.plain(event, 'timer', event.replica, event.timer, -1, this.state(event.after));
      case 'turn':
        return this.plain(event, 'turn', event.replica, 'turn', -1, this.state(event.after));
      case 'power':
        return this.plain(event, powerKinds[event.power], event.replica, powerTexts[event.power]);
      case 'executed': {
        const texts = event.commands.map(({ text, tookEffect }) => (tookEffect ? text : `${text} (no effect)`));
        const text = `op ${event.op}, position ${event.position}: ${texts.join('; ')}`;
        return this.plain(event, 'executed', event.replica, text);
      }
      case 'called':
      case 'returned': {
        const { id, type, table, key, marker } = event.call;
        const call = `${type} ${table}/${key} ${marker}`.trimEnd();
        const text = event.kind === 'called' ? call : `${call}: ${event.result}`;
        return this.plain(event, event.kind, this.replicas + event.client, text, id);
      }
      case 'connection': {
        const text = `connection ${event.connection} to replica ${event.replica} ${event.what}`;
        return this.plain(event, 'connection', this.replicas + event.client, text);
      }
      case 'fault':
        return this.plain(event, 'fault', event.replicas[0] ?? -1, event.text, event.forUs ?? -1);
      case 'journal':
        return this.plain(event, 'journal', event.replica, event.text);
      case 'note':
        return this.plain(event, 'note', -1, event.text);
      case 'failure':
        return this.plain(event, 'failure', -1, `${event.checker}: ${event.message}`);
      default:
        return unreachable(event);
    }
  }

  /** How a replica was left by the events before the first row. */
  before(events: readonly RunEvent[]): ReportData['before'] {
    const before = Array.from({ length: this.replicas }, () => ({ power: 'down' as Running, state: -1 }));
    for (const event of events) {
      if (event.kind === 'received' && event.to.type === 'client') continue;
      const replica = event.kind === 'received' ? event.to.index : 'replica' in event ? event.replica : -1;
      const left = before[replica];
      if (left === undefined) continue;
      if (event.kind === 'power') {
        left.power = runningAs[event.power];
        if (event.power === 'off') left.state = -1;
      }
      if ('after' in event && event.after !== null) left.state = this.state(event.after);
    }
    return before;
  }

  private row({ atUs }: RunEvent, kind: RowKind, ...rest: readonly number[]): void {
    this.rows.push([rowKinds.indexOf(kind), atUs - this.lastUs, ...rest]);
    this.lastUs = atUs;
  }

  private plain(event: RunEvent, kind: RowKind, lane: number, text: string, detail = -1, state = -1): void {
    this.row(event, kind, lane, this.text(text), detail, state);
  }

  private lane({ type, index }: Party): number {
    return type === 'replica' ? index : this.replicas + index;
  }

  private text(text: string): number {
    return this.strings.add(text, text);
  }

  private state(after: ReplicaSummary | null): number {
    return after === null ? -1 : this.states.add(JSON.stringify(after), after);
  }
}

const powerKinds = { on: 'booted', opened: 'opened', paused: 'paused', off: 'down' } as const;
type Running = ReportData['before'][number]['power'];
const runningAs = { on: 'running', opened: 'running', paused: 'paused', off: 'down' } as const;
const powerTexts = { on: 'runs', opened: 'has read its disk', paused: 'is paused', off: 'is down' } as const;

/** The page's data for one recorded run: a window of its events that ends at the failure. */
export function buildReport(options: {
  readonly run: RecordedRun;
  readonly replay: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
}): ReportData {
  const { run, replay, facts } = options;
  const { result, events, calls } = run;
  const { failure, seed, stats } = result;
  const failed = events.findIndex(({ kind }) => kind === 'failure');
  const end = failed === -1 ? events.length : Math.min(events.length, failed + 1 + afterFailureMax);
  const start = Math.max(0, end - reportEventsMax);
  const startUs = events[start]?.atUs ?? 0;
  const writer = new RowWriter(stats.nodes, startUs);
  // How the replicas ended is in their table.
  const shown = events
    .slice(start, end)
    .filter(({ kind }, at) => kind !== 'note' || failed === -1 || start + at < failed);
  for (const event of shown) writer.write(event);
  return {
    title: `seed ${seed}: ${failure?.kind ?? 'passed'}`,
    failure,
    replay,
    facts,
    replicas: stats.nodes,
    clients: clientsIn(events),
    startUs,
    rows: writer.rows,
    strings: writer.strings.values,
    states: writer.states.values,
    before: writer.before(events.slice(0, start)),
    focusRow: Math.max(0, (failed === -1 ? end - 1 : failed) - start),
    omitted: run.dropped + start,
    ...reportCalls(calls, events, failure),
  };
}

/** Clients that dialled, also those that never got to call. */
function clientsIn(events: readonly RunEvent[]): number {
  let clients = 0;
  for (const event of events) if (event.kind === 'connection') clients = Math.max(clients, event.client + 1);
  return clients;
}
