import { clientId } from '@kimberlite/base';
import { expect, test } from 'vitest';
import { answerBytesWaitingMax, Connections } from '../src/connections.ts';

const half = answerBytesWaitingMax / 2;

test('answers are admitted up to the bound, counting what waits in the socket, and again after a flush', () => {
  const connections = new Connections();
  connections.open(1);
  connections.greet(1, clientId('ab'.repeat(16)), 1);
  expect(connections.admitAnswer(1, half, 0)).toBe(true);
  expect(connections.admitAnswer(1, half, 1)).toBe(false);
  expect(connections.admitAnswer(1, half, 0)).toBe(true);
  expect(connections.admitAnswer(1, 1, 0)).toBe(false);
  connections.tell(1, { type: 'error', code: 'stopping', message: '' });
  connections.flush(() => {});
  expect(connections.admitAnswer(1, 1, 0)).toBe(true);
});

test('one answer always passes when nothing waits, and none for a connection that is gone', () => {
  const connections = new Connections();
  connections.open(1);
  expect(connections.admitAnswer(1, answerBytesWaitingMax + 1, 0)).toBe(true);
  connections.close(1);
  expect(connections.admitAnswer(1, 1, 0)).toBe(false);
});
