import { type ReportData, type ReportRow, type RowKind, rowKinds } from '../src/report/report-data.ts';
import { messageFamilies, type ReplicaSummary } from '../src/report/run-event.ts';

/** One row, unpacked. `lane` is where it happened; a message leads from `lane` to `other`. */
export interface PageEvent {
  readonly row: number;
  readonly kind: RowKind;
  readonly atUs: number;
  readonly lane: number;
  readonly other: number;
  readonly text: string;
  readonly detail: string;
  /** What a reader filters by: a family of messages, or a word for everything else. */
  readonly group: Group;
  readonly message: Transmission | null;
  /** Which arrival of its message this is; 0 for what is no arrival. */
  readonly copy: number;
  readonly state: ReplicaSummary | null;
  /** The number that calls and faults carry. */
  readonly number: number;
}

/** One frame on its way, with everything that became of it. */
export interface Transmission {
  readonly from: number;
  readonly to: number;
  readonly group: Group;
  readonly label: string;
  readonly detail: string;
  readonly bytes: number;
  /** Row in which it was sent; -1 for one that was sent before the first row. */
  readonly sentRow: number;
  readonly arrivalRows: number[];
}

export const otherGroups = ['syncs', 'disk', 'timers', 'state', 'execution', 'calls', 'connections', 'always'] as const;
export type Group = (typeof messageFamilies)[number] | (typeof otherGroups)[number];

/** How a replica is from a row on, until the next of these. */
export interface LanePhase {
  readonly row: number;
  readonly power: 'down' | 'running' | 'paused';
  readonly state: ReplicaSummary | null;
}

export interface Model {
  readonly data: ReportData;
  readonly events: readonly PageEvent[];
  readonly transmissions: readonly Transmission[];
  /** By replica. */
  readonly phases: readonly (readonly LanePhase[])[];
  readonly lanes: readonly string[];
  /** Faults that last, with the row in which each ends. */
  readonly faults: readonly { readonly event: PageEvent; readonly endRow: number }[];
  /** By id of a call: the rows in which it was made and in which it came back, -1 where it did not. */
  readonly callRows: ReadonlyMap<number, { readonly called: number; returned: number; readonly lane: number }>;
}

const groups: { readonly [Kind in RowKind]: Group | null } = {
  sent: null,
  received: null,
  'disk-started': 'disk',
  'disk-done': 'disk',
  'disk-failed': 'always',
  synced: 'syncs',
  timer: 'timers',
  turn: 'state',
  booted: 'always',
  opened: 'always',
  paused: 'always',
  down: 'always',
  executed: 'execution',
  called: 'calls',
  returned: 'calls',
  connection: 'connections',
  fault: 'always',
  journal: 'state',
  note: 'always',
  failure: 'always',
};

class Decoder {
  readonly events: PageEvent[] = [];
  readonly transmissions: Transmission[] = [];
  private readonly data: ReportData;
  private readonly bySentRow = new Map<number, Transmission>();

  constructor(data: ReportData) {
    this.data = data;
  }

  decode(): void {
    let atUs = this.data.startUs;
    this.data.rows.forEach((row, index) => {
      atUs += row[1] ?? 0;
      this.events.push(this.decodeRow(row, index, atUs));
    });
  }

  private decodeRow(row: ReportRow, index: number, atUs: number): PageEvent {
    const kind = rowKinds[row[0] ?? 0] ?? 'note';
    if (kind === 'sent' || kind === 'received') return this.decodeMessage(kind, row, index, atUs);
    const [, , lane = -1, text = -1, number = -1, state = -1] = row;
    return {
      row: index,
      kind,
      atUs,
      lane,
      other: -1,
      text: this.text(text),
      detail: '',
      group: groups[kind] ?? 'always',
      message: null,
      copy: 0,
      state: this.data.states[state] ?? null,
      number,
    };
  }

  private decodeMessage(kind: 'sent' | 'received', row: ReportRow, index: number, atUs: number): PageEvent {
    const [, , from = 0, to = 0] = row;
    const message = kind === 'sent' ? this.launch(row, index) : this.land(row, index);
    return {
      row: index,
      kind,
      atUs,
      lane: kind === 'sent' ? from : to,
      other: kind === 'sent' ? to : from,
      text: message.label,
      detail: message.detail,
      group: message.group,
      message,
      copy: kind === 'sent' ? 0 : (row[5] ?? 1),
      state: kind === 'sent' ? null : (this.data.states[row[6] ?? -1] ?? null),
      number: -1,
    };
  }

  private launch(row: ReportRow, index: number): Transmission {
    const [, , from = 0, to = 0, family = 0, label = -1, detail = -1, bytes = 0] = row;
    const texts = { label: this.text(label), detail: this.text(detail) };
    const group = messageFamilies[family] ?? 'session';
    const message: Transmission = { from, to, group, ...texts, bytes, sentRow: index, arrivalRows: [] };
    this.bySentRow.set(index, message);
    this.transmissions.push(message);
    return message;
  }

  private land(row: ReportRow, index: number): Transmission {
    const [, , from = 0, to = 0, sentRow = -1, , , family = 0, label = -1] = row;
    const known = this.bySentRow.get(sentRow);
    if (known !== undefined) {
      known.arrivalRows.push(index);
      return known;
    }
    const group = messageFamilies[family] ?? 'session';
    const text = { label: this.text(label), detail: 'sent before the first event of this page' };
    const message: Transmission = { from, to, group, ...text, bytes: 0, sentRow: -1, arrivalRows: [index] };
    this.transmissions.push(message);
    return message;
  }

  private text(index: number): string {
    return this.data.strings[index] ?? '';
  }
}

const powers: { readonly [Kind in RowKind]?: LanePhase['power'] } = {
  booted: 'running',
  opened: 'running',
  paused: 'paused',
  down: 'down',
};

function phasesOf(data: ReportData, events: readonly PageEvent[]): LanePhase[][] {
  const phases = Array.from({ length: data.replicas }, (_, replica): LanePhase[] => {
    const before = data.before[replica];
    const state = data.states[before?.state ?? -1] ?? null;
    return [{ row: -1, power: before?.power ?? 'down', state }];
  });
  for (const event of events) {
    const lane = phases[event.lane];
    const last = lane?.at(-1);
    if (lane === undefined || last === undefined) continue;
    const power = powers[event.kind];
    if (power !== undefined) {
      // What resumes goes on as it was; what boots begins anew.
      const goesOn = power === 'paused' || last.power === 'paused' || event.kind === 'opened';
      lane.push({ row: event.row, power, state: goesOn && power !== 'down' ? last.state : null });
    } else if (event.state !== null) lane.push({ row: event.row, power: last.power, state: event.state });
  }
  return phases;
}

/** First row at or after a time; the number of rows when all are earlier. */
export function rowAtTime(events: readonly PageEvent[], atUs: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.atUs ?? 0) < atUs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last phase that began at or before a row. */
export function phaseAt(phases: readonly LanePhase[], row: number): LanePhase | undefined {
  let low = 0;
  let high = phases.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((phases[middle]?.row ?? 0) <= row) low = middle + 1;
    else high = middle;
  }
  return phases[low - 1];
}

function callRowsOf(events: readonly PageEvent[]): Model['callRows'] {
  const rows = new Map<number, { called: number; returned: number; lane: number }>();
  for (const { kind, row, lane, number } of events) {
    if (kind === 'called') rows.set(number, { called: row, returned: -1, lane });
    const known = kind === 'returned' ? rows.get(number) : undefined;
    if (known !== undefined) known.returned = row;
  }
  return rows;
}

export function decodeReport(data: ReportData): Model {
  const decoder = new Decoder(data);
  decoder.decode();
  const { events, transmissions } = decoder;
  const lasting = events.filter(({ kind, number }) => kind === 'fault' && number > 0);
  return {
    data,
    events,
    transmissions,
    phases: phasesOf(data, events),
    lanes: [
      ...Array.from({ length: data.replicas }, (_, index) => `replica ${index}`),
      ...Array.from({ length: data.clients }, (_, index) => `client ${index}`),
    ],
    faults: lasting.map((event) => ({ event, endRow: rowAtTime(events, event.atUs + event.number) })),
    callRows: callRowsOf(events),
  };
}
