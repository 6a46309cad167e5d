import { createContext, Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { dashboardPage } from '../src/page.ts';
import { script } from '../src/script.ts';

interface Row {
  readonly replica: number;
  readonly role: string;
  readonly status: string;
  readonly view: number;
  readonly stateHash: string;
  readonly stateHashOp: number;
}

const row = (replica: number, changes: Partial<Row> = {}): Row => ({
  replica,
  role: replica === 0 ? 'primary' : 'backup',
  status: 'normal',
  view: 3,
  stateHash: 'aa',
  stateHashOp: 64,
  ...changes,
});

/** The page's own functions, run outside a browser; the loop finds the page hidden and does nothing. */
function summary(rows: readonly (Row | null)[]): readonly string[] {
  const context = createContext({ document: { hidden: true }, location: { origin: '' }, setTimeout: () => 0, rows });
  new Script(script).runInContext(context);
  return new Script('summarize(rows, rows.length)').runInContext(context) as readonly string[];
}

describe('the page', () => {
  it('is complete in itself', () => {
    expect(dashboardPage).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(dashboardPage).toContain('lang="en"');
    expect(dashboardPage).toContain('name="viewport"');
    expect(dashboardPage).toContain('scope="col"');
  });

  it('never makes markup of what a node says', () => {
    expect(script).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|\beval\b/);
  });
});

describe('its summary', () => {
  it.each<[string, readonly (Row | null)[], string, RegExp]>([
    [
      'all well',
      [row(0), row(1), row(2)],
      'good',
      /Replica 0 is primary in view 3; 3 of 3 are normal, one more node may be lost/,
    ],
    ['one gone', [row(0), row(1), null], 'wait', /2 of 3 are normal, no more node may be lost/],
    ['five', [row(0), row(1), row(2), row(3), row(4)], 'good', /2 more nodes may be lost/],
    ['no primary', [row(0, { status: 'view-change' }), row(1), row(2)], 'bad', /No primary/],
    [
      'an old primary that does not know yet',
      [row(0), row(1, { role: 'primary', view: 4 }), row(2, { view: 4 })],
      'good',
      /Replica 1 is primary in view 4/,
    ],
    ['a fork', [row(0), row(1, { stateHash: 'bb' }), row(2)], 'bad', /State hashes differ at op 64/],
    ['another op is no fork', [row(0), row(1, { stateHash: 'bb', stateHashOp: 128 }), row(2)], 'good', /3 of 3/],
  ])('%s', (_, rows, kind, text) => {
    const [shown, sentence] = summary(rows);
    expect([shown, sentence]).toEqual([kind, expect.stringMatching(text)]);
  });
});
