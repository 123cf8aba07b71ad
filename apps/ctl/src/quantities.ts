import { InvalidArgumentError } from 'commander';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `300ms`, `30s`, `5m`, `1h` in milliseconds. */
export function parseDuration(text: string): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (found === null) throw new InvalidArgumentError('Expected a duration such as 30s, 5m or 300ms.');
  return Number(found[1]) * UNITS_MS[found[2] as keyof typeof UNITS_MS];
}

/** `1%` as 0.01. */
export function parsePercent(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*%$/.exec(text);
  const part = Number(found?.[1]) / 100;
  if (!(part <= 1)) throw new InvalidArgumentError('Expected a percentage such as 1% or 0.5%.');
  return part;
}

/** `10,50,100`: rising, the last one 100. */
export function parseStages(text: string): readonly number[] {
  const stages = text.split(',').map((part) => (/^\s*\d+(\.\d+)?\s*%?\s*$/.test(part) ? Number.parseFloat(part) : NaN));
  if (!stages.every((stage, index) => stage > (stages[index - 1] ?? 0)) || stages.at(-1) !== 100) throw new InvalidArgumentError('Expected rising percents that end with 100, such as 10,50,100.');
  return stages;
}

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

/** `1:05`, for people who watch. */
export function showMs(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${String(seconds)} s` : `${String(Math.floor(seconds / 60))}:${String(seconds % 60).padStart(2, '0')}`;
}

/** `0.4 %` */
export function showRate({ errors, requests }: { readonly errors: number; readonly requests: number }): string {
  return requests === 0 ? '-' : `${String(Number(((errors / requests) * 100).toFixed(2)))} %`;
}

export function plural(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}
