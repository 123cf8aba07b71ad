import { AppError } from '@pointsman/errors';
import type { Database } from '@pointsman/database';
import { DEFAULT_DEGRADED_MODE } from '@pointsman/gateway-config';
import { startTelemetry } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { openGatewayDatabase, type OpenedGatewayDatabase } from './open-gateway-database.ts';

interface Opened extends AsyncDisposable {
  readonly database: OpenedGatewayDatabase;
}

/** A gateway's door to a database that answers what a test says. */
async function open(): Promise<Opened> {
  const { logger } = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'info', processMetrics: false, writeLine: () => undefined });
  const fake: Pick<Database, 'kind' | 'migrate' | 'ping' | 'close'> = {
    kind: 'postgres', migrate: () => Promise.resolve({ applied: [] }), close: () => Promise.resolve(),
    ping: () => Promise.resolve(),
  };
  const database = openGatewayDatabase({
    open: () => fake as Database, degradedMode: { ...DEFAULT_DEGRADED_MODE, breaker: { failures: 2, halfOpenAfterMs: 60_000 } }, clock: systemClock, logger,
    metrics: { degraded: () => undefined, breakerChanged: () => undefined },
  });
  await database.firstAttempt;
  return { database, [Symbol.asyncDispose]: () => database.close() };
}

test('reports that are too slow are no outage, however many; a look-up that is too slow twice is', async () => {
  await using opened = await open();
  const { database } = opened;
  const never = (): Promise<never> => new Promise(() => undefined);
  const timeout = (): Promise<never> => Promise.reject(new AppError('unavailable', 'database_timeout', 'The database did not answer within 5000 ms.'));
  for (let report = 0; report < 10; report += 1) {
    let aborted = false;
    await expect(database.run((_database, signal) => {
      signal.addEventListener('abort', () => { aborted = true; });
      return never();
    }, { deadlineMs: 1, isReport: true })).rejects.toMatchObject({ status: 503, code: 'report_too_slow', retryAfterMs: 10_000 });
    expect(aborted).toBe(true);
    await expect(database.run(timeout, { isReport: true })).rejects.toMatchObject({ code: 'report_too_slow' });
    expect(database.isAway).toBe(false);
  }
  expect(await database.run(() => Promise.resolve('answer'), { isReport: true })).toBe('answer');
  for (let lookup = 0; lookup < 2; lookup += 1) await expect(database.run(never, { deadlineMs: 1 })).rejects.toMatchObject({ code: 'database_unavailable' });
  expect(database.isAway).toBe(true);
  await expect(database.run(() => Promise.resolve('answer'), { isReport: true })).rejects.toMatchObject({ code: 'database_unavailable' });
});

test('a report that succeeds does not hide an outage either', async () => {
  await using opened = await open();
  const { database } = opened;
  const gone = (): Promise<never> => Promise.reject(new AppError('unavailable', 'database_unavailable', 'The database cannot be reached.'));
  await expect(database.run(gone)).rejects.toMatchObject({ code: 'database_unavailable' });
  await database.run(() => Promise.resolve(1), { isReport: true });
  await expect(database.run(gone)).rejects.toMatchObject({ code: 'database_unavailable' });
  expect(database.isAway).toBe(true);
});
