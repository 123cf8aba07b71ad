import { SettingsError } from '@pointsman/service';
import { expect, test } from 'vitest';
import { readTraceExporterSettings } from './settings.ts';

test('defaults are those of the documentation', () => {
  expect(readTraceExporterSettings({ TRACES_BUCKET_URL: 's3://traces/prod', POD_NAME: 'pod-1' })).toMatchObject({
    otlpPort: 4318, otlpHost: '127.0.0.1', storeUrl: 's3://traces/prod', flushIntervalMs: 60_000, joinWindowMs: 600_000, spoolDir: '/app/spool', spoolMaxBytes: 512 * 1024 * 1024,
    forward: undefined, podName: 'pod-1', healthPort: 8084,
  });
  expect(readTraceExporterSettings({ OBJECT_STORE_URL: 'file:///data' }).storeUrl).toBe('file:///data');
  expect(readTraceExporterSettings({ S3_BUCKET: 'bucket' }).storeUrl).toBe('s3://bucket');
});

test('every problem is told at once, without values', () => {
  try {
    readTraceExporterSettings({ OTLP_PORT: 'secret', FLUSH_INTERVAL: 'soon', JOIN_WINDOW: '-1', SPOOL_MAX_BYTES: '1', FORWARD_OTLP_ENDPOINT: 'collector', TRACES_BUCKET_URL: 'ftp://secret' });
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    expect((error as SettingsError).problems.map(({ variable }) => variable).sort()).toEqual(['FLUSH_INTERVAL', 'FORWARD_OTLP_ENDPOINT', 'JOIN_WINDOW', 'OTLP_PORT', 'SPOOL_MAX_BYTES', 'TRACES_BUCKET_URL']);
    expect(JSON.stringify(error)).not.toContain('secret');
  }
  expect(() => readTraceExporterSettings({})).toThrow(/TRACES_BUCKET_URL: is required/);
});

test('what is received is not forwarded to the receiver itself', () => {
  expect(() => readTraceExporterSettings({ S3_BUCKET: 'bucket', FORWARD_OTLP_ENDPOINT: 'http://localhost:4318' })).toThrow(/FORWARD_OTLP_ENDPOINT: is this receiver itself/);
  expect(readTraceExporterSettings({ S3_BUCKET: 'bucket', OTLP_PORT: '4319', FORWARD_OTLP_ENDPOINT: 'http://localhost:4318', FORWARD_OTLP_HEADERS: 'authorization=Bearer%20x' }).forward).toEqual({ endpoint: 'http://localhost:4318', headers: { authorization: 'Bearer x' } });
});
