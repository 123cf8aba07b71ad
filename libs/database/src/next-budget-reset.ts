import { AppError } from '@pointsman/errors';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** 1970-01-01 was a Thursday: this was the first Monday. */
const FIRST_MONDAY_MS = 4 * DAY_MS;
const LONGEST_VALUE = 100_000;

/**
 * When a budget with this duration is set back next, strictly after `from`. As LiteLLM aligns them, in UTC: seconds, minutes and hours to the clock
 * (`12h`: noon and midnight), `1d` to midnight, `7d` and `1w` to Monday, `30d` and `1mo` to the first of the month, other days to the midnight that many days on.
 * @throws AppError `invalid_request` for anything that is not a positive number with one of s, m, h, d, w, mo.
 */
export function nextBudgetReset(duration: string, from: Date): Date {
  const { value, unit } = parseDuration(duration);
  const at = from.getTime();
  const midnight = Math.floor(at / DAY_MS) * DAY_MS;
  switch (unit) {
    case 's': return new Date(nextOnClock(at, value, SECOND_MS, MINUTE_MS));
    case 'm': return new Date(nextOnClock(at, value, MINUTE_MS, HOUR_MS));
    case 'h': return new Date(nextOnClock(at, value, HOUR_MS, DAY_MS));
    case 'mo': return startOfMonth(from, value);
    case 'w':
    case 'd': {
      const days = unit === 'w' ? value * 7 : value;
      if (days === 7) return new Date(FIRST_MONDAY_MS + (Math.floor((at - FIRST_MONDAY_MS) / (7 * DAY_MS)) + 1) * 7 * DAY_MS);
      if (days === 30) return startOfMonth(from, 1);
      return new Date(midnight + days * DAY_MS);
    }
  }
}

/** Whether a text is a duration that budgets understand. */
export function isBudgetDuration(text: string): boolean {
  try {
    parseDuration(text);
    return true;
  } catch {
    return false;
  }
}

type Unit = 's' | 'm' | 'h' | 'd' | 'w' | 'mo';

function parseDuration(duration: string): { value: number; unit: Unit } {
  const match = /^(\d{1,6})(s|mo|m|h|d|w)$/.exec(duration);
  const value = Number(match?.[1]);
  if (match === null || value < 1 || value > LONGEST_VALUE) {
    throw new AppError('invalid_request', 'invalid_duration', `'${duration.slice(0, 40)}' is not a duration: a positive number with s, m, h, d, w or mo was expected, such as 30s, 12h, 7d, 1mo.`, { param: 'budget_duration' });
  }
  return { value, unit: match[2] as Unit };
}

/** A duration that fits into the larger unit starts anew with it (`15m`: :00, :15, :30, :45); a longer one counts from the epoch, so that all replicas agree. */
function nextOnClock(at: number, value: number, unitMs: number, largerMs: number): number {
  const step = value * unitMs;
  const origin = step <= largerMs ? Math.floor(at / largerMs) * largerMs : 0;
  const next = origin + (Math.floor((at - origin) / step) + 1) * step;
  return step <= largerMs ? Math.min(next, origin + largerMs) : next;
}

function startOfMonth(from: Date, monthsOn: number): Date {
  return new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + monthsOn, 1));
}
