import { ProviderError } from '../provider-error.ts';

/** What `simulated_error` may name: how a failing call fails. */
export type SimulatedFault = 'server_error' | 'overloaded' | 'rate_limited' | 'auth' | 'timeout' | 'stream_error' | 'truncated';

const FAULTS: ReadonlyMap<string, () => ProviderError | 'cut'> = new Map<SimulatedFault, () => ProviderError | 'cut'>([
  ['server_error', () => new ProviderError('server_error', 'simulated', 'The simulated model failed, as simulated_error_rate asked.', { upstreamStatus: 500 })],
  ['overloaded', () => new ProviderError('overloaded', 'simulated', 'The simulated model is overloaded, as simulated_error_rate asked.', { upstreamStatus: 503 })],
  ['rate_limited', () => new ProviderError('rate_limited', 'simulated', 'The simulated model has had enough requests, as simulated_error_rate asked.', { upstreamStatus: 429, retryAfterMs: 1_000 })],
  ['auth', () => new ProviderError('auth', 'simulated', 'The simulated model refused its key, as simulated_error_rate asked.', { upstreamStatus: 401 })],
  ['timeout', () => new ProviderError('timeout', 'simulated', 'The simulated model did not answer in time, as simulated_error_rate asked.')],
  ['stream_error', () => new ProviderError('stream_error', 'simulated', 'The simulated model broke off its reply, as simulated_error_rate asked.')],
  ['truncated', () => 'cut'],
]);

/** Names accepted by `simulated_error`. */
export const SIMULATED_FAULTS: readonly string[] = [...FAULTS.keys()];

/** The failure a name stands for; an unknown name is a server error. `cut` = the connection ends in the middle of the reply. */
export function simulatedFault(name: string): ProviderError | 'cut' {
  return (FAULTS.get(name) ?? FAULTS.get('server_error'))?.() ?? 'cut';
}

/** Whether a fault shows only after the reply has begun. */
export function breaksMidway(name: string): boolean {
  return name === 'stream_error' || name === 'truncated';
}
