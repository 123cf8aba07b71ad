import { AppError } from '@pointsman/errors';

/** Requests that began at or after `from` and before `to`. */
export interface TraceWindow {
  readonly from: Date;
  readonly to: Date;
}

export interface WindowText {
  /** ISO 8601 date or time; a date alone is its midnight, UTC. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** Length, such as `7d` or `12h`; `7d` where neither this nor `from` is given. */
  readonly window?: string | undefined;
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };
const MAX_MS = 366 * 86_400_000;

/** The window that an operator means: from–to, or a length that ends at `to`, else now. @throws AppError `invalid_window` */
export function parseWindow({ from, to, window }: WindowText, now: number): TraceWindow {
  if (from !== undefined && to !== undefined && window !== undefined) throw invalid('give two of from, to and window, not all three');
  const length = window === undefined ? 7 * UNIT_MS['d']! : lengthOf(window);
  const begins = from === undefined ? undefined : timeOf(from, 'from');
  const ends = to === undefined ? undefined : timeOf(to, 'to');
  const last = ends ?? (begins !== undefined && window !== undefined ? begins + length : now);
  const first = begins ?? last - length;
  if (first >= last) throw invalid('it ends before it begins');
  if (last - first > MAX_MS) throw invalid('it is longer than a year');
  return { from: new Date(first), to: new Date(last) };
}

/**
 * The folders under `traces/` that may hold rows of the window. An object lies under the day its file was begun: rows of a new day may lie under the day before, and late
 * feedback under a day after the request.
 */
export function daysOf({ from, to }: TraceWindow, lateDays: number): string[] {
  const days: string[] = [];
  const last = to.getTime() - 1 + lateDays * UNIT_MS['d']!;
  for (let day = (Math.floor(from.getTime() / UNIT_MS['d']!) - 1) * UNIT_MS['d']!; day <= last; day += UNIT_MS['d']!) days.push(new Date(day).toISOString().slice(0, 10));
  return days;
}

function lengthOf(text: string): number {
  const found = /^(\d{1,6})([mhdw])$/.exec(text);
  const length = found === null ? 0 : Number(found[1]) * UNIT_MS[found[2]!]!;
  if (length <= 0) throw invalid('its length must be such as 7d, 12h or 2w');
  return length;
}

function timeOf(text: string, name: string): number {
  const time = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?Z)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(`${name} must be such as 2026-01-31 or 2026-01-31T12:00:00Z`);
  return time;
}

function invalid(problem: string): AppError {
  return new AppError('invalid_request', 'invalid_window', `The window of traces cannot be read: ${problem}.`, { param: 'window' });
}
