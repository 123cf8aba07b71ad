import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelFolder } from '@pointsman/model-artifacts';
import { ObjectStoreError, openObjectStore } from '@pointsman/object-store';
import type { SyncPassContext } from '@pointsman/sync';
import { startTelemetry } from '@pointsman/telemetry';
import { temporaryDirectory } from '@pointsman/testing';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { createModelSync } from './sync-model.ts';

test('a disk that fills up on the way is told in the same words, whoever noticed', async () => {
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, 'store', modelFolder('m', 'v1'));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'manifest.json'), '{}');
  const origin = await openObjectStore(pathToFileURL(join(directory.path, 'store')).href);
  const telemetry = startTelemetry({ serviceName: 't', serviceVersion: '0', logLevel: 'silent', processMetrics: false, writeLine: () => undefined });
  const span = telemetry.traces.begin('t');
  const context: SyncPassContext = { span, logger: telemetry.logger, fetched: () => undefined, rejected: () => undefined };
  for (const error of [new ObjectStoreError('no_space', 'x'), Object.assign(new Error('x'), { code: 'ENOSPC' }), Object.assign(new Error('x'), { code: 'EDQUOT' })]) {
    const sync = createModelSync({
      modelsDir: join(directory.path, 'models'), origin, door: undefined, applyTimeoutMs: 1, nudgeEveryMs: 1, metrics: telemetry.metrics,
      obtain: () => Promise.reject(error), demandsOf: (expected) => ({ expect: expected, publicKeys: [], mode: 'off', maxBytes: 1 }),
    });
    const outcome = await sync({ name: 'm', version: 'v1', others: [] }, context, new AbortController().signal);
    expect(outcome.status).toMatchObject({ revision: null, problem: expect.stringContaining('The volume where models are kept is full') as string });
    expect(outcome.failure).toMatchObject({ code: 'no_space', retryable: true });
  }
  origin.close();
});

test('what a killed download left is removed by a later pass, once it is old enough', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'store'));
  const origin = await openObjectStore(pathToFileURL(join(directory.path, 'store')).href);
  const telemetry = startTelemetry({ serviceName: 't', serviceVersion: '0', logLevel: 'silent', processMetrics: false, writeLine: () => undefined });
  const context: SyncPassContext = { span: telemetry.traces.begin('t'), logger: telemetry.logger, fetched: () => undefined, rejected: () => undefined };
  const sync = createModelSync({
    modelsDir: join(directory.path, 'models'), origin, door: undefined, applyTimeoutMs: 1, nudgeEveryMs: 1, metrics: telemetry.metrics,
    obtain: () => Promise.reject(new Error('unused')), demandsOf: (expected) => ({ expect: expected, publicKeys: [], mode: 'off', maxBytes: 1 }),
  });
  const root = join(directory.path, 'models', 'm');
  const left = join(root, '.staging-left');
  await mkdir(left, { recursive: true });
  const pass = (): Promise<unknown> => sync({ name: 'm', version: 'v1', others: [] }, context, new AbortController().signal);
  await pass();
  expect(await readdir(root)).toEqual(['.staging-left']);
  const longAgo = new Date(Date.now() - 3_600_000);
  await utimes(left, longAgo, longAgo);
  await pass();
  expect(await readdir(root)).toEqual([]);
  origin.close();
});
