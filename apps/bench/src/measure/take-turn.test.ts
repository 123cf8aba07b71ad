import { expect, test } from 'vitest';
import { takeTurn } from './take-turn.ts';

test('a second bench waits until the first has ended', async () => {
  const name = `pointsman-bench-test-${process.pid}`;
  const events: string[] = [];
  const first = await takeTurn({ name, onWait: () => events.push('first waits') });
  let startWaiting = (): void => undefined;
  const waiting = new Promise<void>((resolve) => {
    startWaiting = resolve;
  });
  const second = takeTurn({ name, onWait: startWaiting, pollMs: 5 }).then((turn) => {
    events.push('second runs');
    return turn;
  });
  await waiting;
  events.push('first ends');
  await first[Symbol.asyncDispose]();
  await (await second)[Symbol.asyncDispose]();
  expect(events).toEqual(['first ends', 'second runs']);
});
