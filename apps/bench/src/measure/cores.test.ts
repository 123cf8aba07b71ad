import { expect, test } from 'vitest';
import { parseCpuList } from './cores.ts';

test.each([
  ['0-1', [0, 1]],
  ['3', [3]],
  ['0,2-4,7', [0, 2, 3, 4, 7]],
])('the CPU list %s is read', (list, expected) => {
  expect(parseCpuList(list)).toEqual(expected);
});
