/**
 * What the page does, as the text that goes into it. Plain DOM calls; everything shown is set as text, never as markup,
 * so that nothing a node says can become a script.
 */
export const script = `
'use strict';
const periodMs = 1000, timeoutMs = 2000;
const own = location.origin;
const byId = (id) => document.getElementById(id);

async function ask(adminUrl) {
  try {
    const response = await fetch(adminUrl + '/status', { signal: AbortSignal.timeout(timeoutMs), cache: 'no-store' });
    if (!response.ok) return null;
    return await response.json();
  } catch {
    return null;
  }
}

const short = (hash) => hash ? hash.slice(0, 12) : '–';
const clock = (us) => us === null || us === undefined ? '–' : (us / 1000).toFixed(1) + ' ms';
const size = (bytes) => bytes >= 1048576 ? (bytes / 1048576).toFixed(1) + ' MiB' : Math.ceil(bytes / 1024) + ' KiB';

/** Replicas that stand at the same op must have the same hash there. */
function divergent(rows) {
  const seen = new Map();
  for (const row of rows) {
    if (!row || !row.stateHash) continue;
    const before = seen.get(row.stateHashOp);
    if (before !== undefined && before !== row.stateHash) return row.stateHashOp;
    seen.set(row.stateHashOp, row.stateHash);
  }
  return null;
}

function summarize(rows, count) {
  const normal = rows.filter((row) => row && row.status === 'normal');
  const primary = normal.filter((row) => row.role === 'primary').sort((a, b) => b.view - a.view)[0];
  const quorum = Math.floor(count / 2) + 1;
  const bad = divergent(rows);
  if (bad !== null) return ['bad', 'State hashes differ at op ' + bad + ': stop writing and look at the logs.'];
  if (!primary) return ['bad', 'No primary: nothing commits now.'];
  const canLose = normal.length - quorum;
  const more = canLose <= 0 ? 'no more node may be lost' : canLose === 1 ? 'one more node may be lost' : canLose + ' more nodes may be lost';
  return [canLose <= 0 && count > 1 ? 'wait' : 'good', 'Replica ' + primary.replica + ' is primary in view ' + primary.view + '; ' + normal.length + ' of ' + count + ' are normal, ' + more + '.'];
}

function cell(row, label, text, kind, tag = 'td') {
  const element = document.createElement(tag);
  element.dataset.label = label;
  if (tag === 'th') element.scope = 'row';
  const inner = document.createElement('span');
  inner.textContent = text;
  if (kind) inner.className = kind;
  element.append(inner);
  row.append(element);
}

function draw(rows, members, head) {
  const body = document.createDocumentFragment();
  rows.forEach((row, replica) => {
    const line = document.createElement('tr');
    const address = (row && row.endpoint) || (members[replica] && members[replica].endpoint) || '';
    cell(line, 'Replica', replica + (address ? ' · ' + address : ''), '', 'th');
    if (!row) {
      cell(line, 'Role', '–');
      cell(line, 'Status', members[replica] && members[replica].adminUrl ? 'not reachable from this browser' : 'never met', 'bad');
      for (const label of ['View', 'Op', 'Commit', 'Behind', 'State hash', 'Clock', 'Disk', 'Version']) cell(line, label, '–');
    } else {
      cell(line, 'Role', row.role || '–', row.role === 'primary' ? 'good' : '');
      cell(line, 'Status', row.status, row.status === 'normal' ? 'good' : row.status === 'quarantined' ? 'bad' : 'wait');
      cell(line, 'View', row.view);
      cell(line, 'Op', row.op);
      cell(line, 'Commit', row.commit);
      cell(line, 'Behind', Math.max(0, head - row.commit));
      cell(line, 'State hash', short(row.stateHash) + ' @ ' + row.stateHashOp);
      cell(line, 'Clock', clock(row.clockOffsetUs));
      cell(line, 'Disk', row.diskRoom === 'none' ? 'full' : size(row.diskUsedBytes));
      cell(line, 'Version', row.version);
    }
    body.append(line);
  });
  byId('replicas').replaceChildren(body);
}

let known = [];

async function look() {
  const mine = await ask(own);
  if (mine === null) {
    byId('summary').className = 'bad';
    byId('summary').textContent = 'This node does not answer.';
    return;
  }
  if (byId('cluster').textContent !== mine.cluster) byId('cluster').textContent = mine.cluster;
  // An address that was learnt once is kept: the node that is asked may just have been restarted.
  known = mine.members.map((member, i) => member.adminUrl ? member : known[i] || member);
  const rows = await Promise.all(Array.from({ length: mine.replicaCount }, (_, replica) => {
    if (replica === mine.replica) return mine;
    const url = known[replica] && known[replica].adminUrl;
    return url ? ask(url) : null;
  }));
  const belonging = rows.map((row) => row && row.cluster === mine.cluster ? row : null);
  const head = Math.max(...belonging.map((row) => row ? row.commit : 0));
  draw(belonging, known, head);
  const [kind, text] = summarize(belonging, mine.replicaCount);
  const summary = byId('summary');
  summary.className = kind;
  // Only a change is announced to those who listen instead of looking.
  if (summary.textContent !== text) summary.textContent = text;
  byId('seen').textContent = 'As of ' + new Date().toLocaleTimeString() + ', asked through replica ' + mine.replica + '.';
}

async function loop() {
  if (!document.hidden) await look();
  setTimeout(loop, periodMs);
}
void loop();
`;
