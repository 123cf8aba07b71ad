export { systemClock, type Clock } from './clock.ts';
export { ManualClock } from './manual-clock.ts';
export { backoffMs, type BackoffOptions } from './backoff.ts';
export { sleep } from './sleep.ts';
