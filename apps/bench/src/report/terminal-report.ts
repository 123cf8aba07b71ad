import { table } from 'table';
import type { MemoryGrowth } from '../measure/run-memory.ts';
import type { ProfileRun } from '../measure/run-profile.ts';
import type { Figures } from '../measure/run-rounds.ts';
import { scenarioNames, scenarios } from '../scenarios.ts';
import { columns, figureRows, isLoadBound, loadCost, memoryColumns, memoryRows, problemLines } from './figure-rows.ts';

/** The tables of a run as text for a terminal. */
export function terminalReport(figures: readonly Figures[]): string {
  const sections = scenarioNames.flatMap((name) => {
    const rows = figures.filter(({ scenario }) => scenario === name);
    return rows.length === 0 ? [] : [`${scenarios[name].title}\n${grid([columns, ...figureRows(rows)])}`];
  });
  const problems = problemLines(figures).map((line) => `failed: ${line}`);
  const bound = figures.some(isLoadBound) ? ['* limited by the load, not by the contestant: compare CPU per request instead.'] : [];
  const cost = loadCost(figures);
  return [...sections, ...bound, ...(cost === undefined ? [] : [cost]), ...problems].join('\n');
}

export function memoryReport(growths: readonly MemoryGrowth[]): string {
  return `Memory, idle after so many requests\n${grid([memoryColumns, ...memoryRows(growths)])}`;
}

/** The functions and rooms in which a contestant spends its time. */
export function profileReport({ contestant, scenario, requests, failed, problems, summary, file }: ProfileRun, top: number): string {
  const perRequest = (micros: number): string => (micros / requests).toFixed(2);
  const rows = (list: typeof summary.functions, count: number): string[][] =>
    list.slice(0, count).map(({ where, microseconds, share }) => [`${(share * 100).toFixed(1)} %`, perRequest(microseconds), where]);
  return [
    `Profile of ${contestant}, ${scenario}: ${requests} requests, ${perRequest(summary.busyMicros)} µs of main thread per request under the profiler (it adds some itself)`,
    ...(failed > 0 ? [`${failed} FAILED: ${problems.join(' | ')}`] : []),
    grid([['self', 'µs/request', 'room'], ...rows(summary.rooms, 20)]),
    grid([['self', 'µs/request', 'function'], ...rows(summary.functions, top)]),
    ...(file === undefined ? [] : [`For DevTools: ${file}`]),
  ].join('\n');
}

function grid(rows: readonly (readonly string[])[]): string {
  return table(rows.map((row) => [...row]), { drawHorizontalLine: (index, count) => index <= 1 || index === count });
}
