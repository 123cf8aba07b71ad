import { expect, test } from 'vitest';
import { shortPath, summariseProfile } from './cpu-profile.ts';

const node = (id: number, functionName: string, url: string): { id: number; callFrame: { functionName: string; url: string; lineNumber: number } } => ({ id, callFrame: { functionName, url, lineNumber: 9 } });

test('only busy samples within the window count, each for the time until the next', () => {
  const profile = {
    nodes: [node(1, '(idle)', ''), node(2, 'decide', 'file:///x/libs/routing/src/decide.ts'), node(3, 'parse', 'file:///x/node_modules/undici/lib/a.js')],
    samples: [3, 2, 1, 2, 3],
    timeDeltas: [100, 100, 10, 1000, 30],
    startTime: 0,
  };
  const summary = summariseProfile(profile, { from: 150, to: 10_000 });
  expect(summary.functions).toEqual([{ where: 'decide libs/routing/src/decide.ts:10', microseconds: 40, share: 1 }, { where: 'parse node_modules/undici/lib/a.js:10', microseconds: 0, share: 0 }]);
  expect(summary.rooms[0]).toEqual({ where: 'libs/routing', microseconds: 40, share: 1 });
});

test.each([
  ['file:///home/somebody/x/node_modules/undici/lib/core/util.js', 'node_modules/undici/lib/core/util.js'],
  ['file:///home/somebody/x/apps/gateway/src/main.ts', 'apps/gateway/src/main.ts'],
  ['node:events', 'node:events'],
])('a path says nothing of where the checkout lies: %s', (url, expected) => {
  expect(shortPath(url)).toBe(expected);
});
