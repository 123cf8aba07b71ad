import type { ExportRow } from '@pointsman/database';
import { expect, test } from 'vitest';
import { partBody, takeRows } from './plan-segment.ts';

let arrival = 0;
const row = (chain: string, seq: number): ExportRow => ({ arrival: (arrival += 1), chain, seq, day: '2026-11-23', line: `{"chain":"${chain}","seq":${String(seq)}}` });
const names = (rows: readonly ExportRow[]): string[] => rows.map(({ chain, seq }) => `${chain}${String(seq)}`);

test('numbers that are passed over become gaps; what comes late fills them and splits them', () => {
  const first = takeRows([row('a', 1), row('a', 2), row('b', 4), row('a', 9)], []);
  expect(names(first.taken)).toEqual(['a1', 'a2', 'b4', 'a9']);
  expect(first.chains).toEqual([{ chain: 'a', seq: 9, gaps: [[3, 8]] }, { chain: 'b', seq: 4, gaps: [[1, 3]] }]);
  const second = takeRows([row('a', 5), row('b', 1), row('a', 10)], first.chains);
  expect(names(second.taken)).toEqual(['a5', 'b1', 'a10']);
  expect(second.chains).toEqual([{ chain: 'a', seq: 10, gaps: [[3, 4], [6, 8]] }, { chain: 'b', seq: 4, gaps: [[2, 3]] }]);
  expect(takeRows([3, 4, 6, 7, 8].map((seq) => row('a', seq)), second.chains).chains[0]).toEqual({ chain: 'a', seq: 10, gaps: [] });
});

test('a number that was exported before is not exported again', () => {
  const known = [{ chain: 'a', seq: 5, gaps: [[2, 3]] as const }];
  expect(names(takeRows([row('a', 1), row('a', 2), row('a', 2), row('a', 5), row('a', 6)], known).taken)).toEqual(['a2', 'a6']);
});

test('a file holds one row per line, and the rows of a chain in the order of their numbers, however they arrived', () => {
  const rows = [row('a', 1), row('b', 1), row('a', 3), row('b', 2), row('a', 2)];
  const lines = partBody(rows).toString('utf8').trimEnd().split('\n');
  expect(lines.map((line) => Object.values(JSON.parse(line) as object).join(''))).toEqual(['a1', 'b1', 'a2', 'b2', 'a3']);
  expect(partBody(rows.toReversed())).toEqual(partBody(rows));
  expect(partBody([{ ...row('a', 1), line: '{\n"x": "\\n"\r\n}' }]).toString('utf8')).toBe('{ "x": "\\n" }\n');
});
