import type { Journal } from '@kimberlite/host';
import { NodeMetrics } from '../src/metrics.ts';

export interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** A journal that can be read. */
export class RecordingJournal implements Journal {
  readonly lines: Line[] = [];
  readonly write: Journal['write'] = (level, message, fields) => {
    this.lines.push({ level, message, fields });
  };
  text(level?: string): string {
    return this.lines
      .filter((line) => level === undefined || line.level === level)
      .map((line) => `${line.level} ${line.message} ${JSON.stringify(line.fields)}`)
      .join('\n');
  }
}

export const quietMetrics = (): NodeMetrics => new NodeMetrics({ defaults: false });

/** The value of one sample line of a scrape; 0 when there is none. */
export async function sample(metrics: NodeMetrics, line: string): Promise<number> {
  const text = await metrics.registry.metrics();
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
  return found === undefined ? 0 : Number(found.slice(line.length + 1));
}
