import { expect, test } from 'vitest';
import type { Figures } from '../measure/run-rounds.ts';
import { columns, figureRows, problemLines, withoutPaths } from './figure-rows.ts';

const same = (value: number): { median: number; min: number; max: number } => ({ median: value, min: value, max: value });

function figures(contestant: string, cpuMicros: number, changes: Partial<Figures> = {}): Figures {
  return {
    contestant, scenario: 'short', requests: 100, failed: 0, problems: [], cpuMicrosPerRequest: same(cpuMicros), cpuMicrosBySlice: [cpuMicros], requestsPerSecond: same(1_000_000 / cpuMicros),
    p50Ms: same(1), p99Ms: same(2), firstByteP50Ms: same(1), readsPerReply: 1, busy: 1, loadMicrosPerRequest: 20, rssBytes: 1024 ** 2, ...changes,
  };
}

const cell = (row: readonly string[] | undefined, column: number): string | undefined => row?.[column];

test('ratios refer to the bare proxy', () => {
  const [, gateway] = figureRows([figures('bare', 50), figures('pointsman', 75)]);
  expect(cell(gateway, 2)).toBe('1.50');
  expect(cell(gateway, 4)).toBe('0.67');
});

test('the ratio of CPU is that of slices of the same round: a machine that was slow for a while says nothing about it', () => {
  const [, gateway] = figureRows([figures('bare', 70, { cpuMicrosBySlice: [50, 70, 100] }), figures('pointsman', 105, { cpuMicrosBySlice: [75, 140, 110] })]);
  expect(cell(gateway, 2)).toBe('1.50');
});

test('without a bare proxy, or with one that erred, there are no ratios', () => {
  expect(cell(figureRows([figures('pointsman', 75)])[0], 2)).toBe('–');
  expect(cell(figureRows([figures('bare', 50, { failed: 1 }), figures('pointsman', 75)])[1], 2)).toBe('–');
});

test('a contestant with a single wrong reply shows its errors and no figures', () => {
  const broken = figures('portkey', 5, { failed: 1, problems: ['status 500'] });
  const [, row] = figureRows([figures('bare', 50), broken]);
  expect(row).toEqual(['portkey', '1 of 100 FAILED', ...Array.from({ length: columns.length - 2 }, () => '–')]);
  expect(problemLines([broken])).toEqual(['portkey (short): status 500']);
});

test('requests per second that the load limited are marked and not compared', () => {
  const [, row] = figureRows([figures('bare', 50), figures('nginx', 10, { busy: 0.4 })]);
  expect(cell(row, 3)).toMatch(/ \*$/);
  expect(cell(row, 4)).toBe('–');
});

test('a published text holds no path of the machine', () => {
  expect(withoutPaths("Cannot find module '/home/somebody/x/src/start.ts' imported from file:///home/somebody/x/main.ts")).toBe("Cannot find module 'start.ts' imported from main.ts");
});
