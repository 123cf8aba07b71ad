const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/**
 * The moment a duration (`30s`, `15m`, `12h`, `7d`, `2w`, `1mo`: checked by the schema) after another. Months are calendar months;
 * the day is the last of the month where it does not have so many.
 */
export function after(from: Date, duration: string): Date {
  const value = Number.parseInt(duration, 10);
  const unit = duration.replace(/^\d+/, '');
  if (unit === 'mo') {
    const lastDay = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + value + 1, 0)).getUTCDate();
    const day = new Date(from);
    day.setUTCMonth(from.getUTCMonth() + value, Math.min(from.getUTCDate(), lastDay));
    return day;
  }
  return new Date(from.getTime() + value * UNIT_MS[unit as keyof typeof UNIT_MS]);
}
