import { byId, element } from './format.ts';
import type { Filter } from './layout.ts';
import type { Group, Model } from './model.ts';

interface Choice {
  readonly name: string;
  readonly groups: readonly Group[];
  /** Shown when the page opens: what a reader wants to see first. */
  readonly isOn: boolean;
}

const choices: readonly Choice[] = [
  { name: 'prepares', groups: ['prepare', 'ack'], isOn: true },
  { name: 'view changes', groups: ['view-change'], isOn: true },
  { name: 'clients', groups: ['request', 'query', 'reply'], isOn: true },
  { name: 'calls', groups: ['calls'], isOn: true },
  { name: 'repair', groups: ['repair', 'damaged'], isOn: true },
  { name: 'execution', groups: ['execution'], isOn: true },
  { name: 'state', groups: ['state'], isOn: false },
  { name: 'syncs', groups: ['syncs'], isOn: true },
  { name: 'other disk calls', groups: ['disk'], isOn: false },
  { name: 'timers', groups: ['timers'], isOn: false },
  { name: 'heartbeats', groups: ['heartbeat', 'clock'], isOn: false },
  { name: 'sessions', groups: ['session', 'connections'], isOn: false },
];

export const firstFilter: Filter = {
  groups: new Set(choices.flatMap(({ groups, isOn }) => (isOn ? groups : []))),
  search: '',
};

/** The checkboxes and the search; tells of every change. */
export function addFilter(model: Model, changed: (filter: Filter) => void): void {
  const counts = new Map<Group, number>();
  for (const { group } of model.events) counts.set(group, (counts.get(group) ?? 0) + 1);
  const boxes = choices.map(({ name, groups, isOn }) => {
    const box = document.createElement('input');
    box.type = 'checkbox';
    box.checked = isOn;
    const count = groups.reduce((sum, group) => sum + (counts.get(group) ?? 0), 0);
    byId('filter').append(element('label', {}, box, ` ${name} `, element('span', { class: 'quiet' }, String(count))));
    return { box, groups };
  });
  const search = document.createElement('input');
  search.type = 'search';
  search.placeholder = 'op 12, view 3, c1-17 …';
  search.setAttribute('aria-label', 'show only events with this text');
  byId('search').append(search);
  const tell = (): void =>
    changed({
      groups: new Set(boxes.flatMap(({ box, groups }) => (box.checked ? groups : []))),
      search: search.value.trim().toLowerCase(),
    });
  for (const { box } of boxes) box.addEventListener('change', tell);
  search.addEventListener('input', tell);
}
