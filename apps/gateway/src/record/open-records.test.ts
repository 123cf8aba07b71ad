import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '@pointsman/database';
import { createLogger, createMetrics } from '@pointsman/telemetry';
import { eventually, temporaryDirectory } from '@pointsman/testing';
import { systemClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import type { GatewayDatabase } from '../state/gateway-database.ts';
import { openRecords } from './open-records.ts';

/** A database that keeps the ids of the events it is given. */
function fakeDatabase(): { readonly database: GatewayDatabase; readonly actions: unknown[] } {
  const actions: unknown[] = [];
  const append = (lines: readonly string[]): Promise<void> => {
    actions.push(...lines.map((line) => (JSON.parse(line) as { action: unknown }).action));
    return Promise.resolve();
  };
  const open = { audit: { append }, spend: { record: append } } as unknown as Database;
  return { actions, database: { isConfigured: true, isAway: false, run: (work) => work(open, AbortSignal.timeout(20_000)) } };
}

test('a disk that refuses loses no record while the database takes them, and each refusal and each recovery is a line of the log', async () => {
  await using directory = await temporaryDirectory();
  const home = join(directory.path, 'home');
  const said: { msg: string; records: string }[] = [];
  const logger = createLogger({ service: 'test', level: 'info', write: (line) => void said.push(JSON.parse(line) as { msg: string; records: string }) });
  const metrics = createMetrics({ processMetrics: false });
  const { database, actions } = fakeDatabase();
  // A file where the folder should be: what a disk that refuses looks like from here.
  writeFileSync(home, '');
  const records = await openRecords({ database, home, pod: 'pod', clock: systemClock, logger, metrics, diskCalmMs: 0 });
  const record = (action: string): void => records.audit.record({ actor: 'a', action, resource: 'r' });
  const audits = (): string[] => said.filter(({ records: name }) => name === 'audit').map(({ msg }) => msg);
  const waits = 'records wait in memory: the disk refuses them';
  const well = 'records are written to disk again';

  record('first');
  record('second');
  await eventually(() => expect(actions).toEqual(expect.arrayContaining(['first', 'second'])));
  expect(audits()).toEqual([waits]);
  rmSync(home);
  mkdirSync(home);
  await eventually(() => {
    record('later');
    expect(audits()).toEqual([waits, well]);
  });
  rmSync(home, { recursive: true });
  writeFileSync(home, '');
  // The open file goes on in spite of it; the next one is refused.
  await eventually(() => {
    for (let at = 0; at < 2_000; at += 1) record('later');
    expect(audits()).toEqual([waits, well, waits]);
  });
  rmSync(home);
  await records.close();
  expect((await metrics.exposition()).text).not.toMatch(/^gateway_spool_rows_lost_total\{records="audit"/m);
});
