import { Secret } from '@pointsman/telemetry';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { telemetrySettings, telemetryVariables } from './common-settings.ts';
import { readSettings } from './read-settings.ts';
import { SettingsError } from './settings-error.ts';
import * as setting from './setting.ts';

function problemsOf(read: () => unknown): SettingsError['problems'] {
  try {
    read();
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

test('settings are read, defaults filled in, unknown variables left alone', () => {
  const schema = z.object({ PORT: setting.port().default(4000), NAME: setting.text(), EXTRA: setting.text().optional() });
  expect(readSettings(schema, { NAME: 'x', HOME: '/root' })).toEqual({ PORT: 4000, NAME: 'x' });
});

test('an empty or blank value is as if it were not set', () => {
  const schema = z.object({ PORT: setting.port().default(4000), URL: setting.url().optional() });
  expect(readSettings(schema, { PORT: '', URL: '   ' })).toEqual({ PORT: 4000 });
});

test('all problems are reported together, with their variable, and without any value', () => {
  const schema = z.object({ PORT: setting.port(), MODE: setting.oneOf(['a', 'b']), KEY: setting.secret(), ON: setting.flag(), EVERY: setting.durationMs(), AT: setting.url(['s3', 'file']) });
  const problems = problemsOf(() => readSettings(schema, { PORT: '99999', MODE: 'sk-leak', ON: 'sk-leak', EVERY: 'sk-leak', AT: 'http://user:sk-leak@host' }));
  expect(problems.map(({ variable }) => variable)).toEqual(['PORT', 'MODE', 'KEY', 'ON', 'EVERY', 'AT']);
  expect(problems.find(({ variable }) => variable === 'KEY')?.problem).toBe('is required');
  expect(problems.find(({ variable }) => variable === 'PORT')?.problem).toBe('must be a whole number from 0 to 65535');
  expect(problems.find(({ variable }) => variable === 'AT')?.problem).toBe('must be a URL that begins with s3:// or file://');
  expect(JSON.stringify(problems)).not.toContain('sk-leak');
  expect(new SettingsError(problems).message).toContain('PORT: must be');
});

test('a missing variable that would be converted is "required", not "not a number"', () => {
  expect(problemsOf(() => readSettings(z.object({ PORT: setting.port(), EVERY: setting.durationMs() }), {}))).toEqual([
    { variable: 'PORT', problem: 'is required' },
    { variable: 'EVERY', problem: 'is required' },
  ]);
});

test('another name of a variable is read when its own is not set', () => {
  const schema = z.object({ CONFIG_PATH: setting.text() });
  const aliases = { CONFIG_PATH: ['LITELLM_CONFIG_PATH'] };
  expect(readSettings(schema, { LITELLM_CONFIG_PATH: '/a' }, { aliases })).toEqual({ CONFIG_PATH: '/a' });
  expect(readSettings(schema, { CONFIG_PATH: '/b', LITELLM_CONFIG_PATH: '/a' }, { aliases })).toEqual({ CONFIG_PATH: '/b' });
});

test('a secret stays wrapped', () => {
  const { KEY } = readSettings(z.object({ KEY: setting.secret() }), { KEY: 'hunter2' });
  expect(KEY).toBeInstanceOf(Secret);
  expect(JSON.stringify({ KEY })).not.toContain('hunter2');
  expect(KEY.reveal()).toBe('hunter2');
});

const read = (schema: z.ZodType, value: string): unknown => {
  const result = schema.safeParse(value);
  return result.success ? result.data : 'refused';
};

describe('helpers', () => {
  test.each([['5', 5], ['-3', -3], ['1.5', 'refused'], ['1e3', 'refused'], ['0x10', 'refused'], ['', 'refused'], ['9'.repeat(30), 'refused'], ['Infinity', 'refused']])('integer %s → %s', (text, value) => {
    expect(read(setting.integer(), text)).toBe(value);
  });
  test.each([['0', 0], ['65535', 65_535], ['65536', 'refused'], ['-1', 'refused']])('port %s → %s', (text, value) => {
    expect(read(setting.port(), text)).toBe(value);
  });
  test.each([['60', 60_000], ['0.5', 500], ['500ms', 500], ['30s', 30_000], ['5m', 300_000], ['1h', 3_600_000], ['1d', 86_400_000], ['-1', 'refused'], ['5 weeks', 'refused'], ['1e9', 'refused']])('duration %s → %s ms', (text, value) => {
    expect(read(setting.durationMs(), text)).toBe(value);
  });
  test.each([['true', true], ['ON', true], ['1', true], ['no', false], ['0', false], ['maybe', 'refused']])('flag %s → %s', (text, value) => {
    expect(read(setting.flag(), text)).toBe(value);
  });
  test.each([['0.25', 0.25], ['.5', 0.5], ['1', 1], ['2', 'refused'], ['a', 'refused']])('decimal %s → %s', (text, value) => {
    expect(read(setting.decimal({ min: 0, max: 1 }), text)).toBe(value);
  });
  test.each([['http://a:1/', 'http://a:1'], ['https://a/b', 'https://a/b'], ['ftp://a', 'refused'], ['a', 'refused']])('url %s → %s', (text, value) => {
    expect(read(setting.url(), text)).toBe(value);
  });
  test.each([['http://a:1/reload', 'http://a:1/reload'], ['http://user:secret@a', 'refused'], ['http://a/?key=1', 'refused'], ['http://a/#b', 'refused'], ['a', 'refused']])('plain url %s → %s', (text, value) => {
    expect(read(setting.plainUrl('keys have a variable of their own'), text)).toBe(value);
  });
  test('a list is split and trimmed; pairs are decoded', () => {
    expect(read(setting.list(), ' a, b,,c ')).toEqual(['a', 'b', 'c']);
    expect(read(setting.pairs(), 'a=1,b=x%20y, c = z=z')).toEqual({ a: '1', b: 'x y', c: 'z=z' });
    expect(read(setting.pairs(), 'nonsense')).toBe('refused');
    expect(read(setting.pairs(), 'a=%zz')).toBe('refused');
  });
});

test('the standard OpenTelemetry variables become telemetry settings', () => {
  const settings = readSettings(z.object({ ...telemetryVariables }), {
    LOG_LEVEL: 'WARNING', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/', OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=prod', OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=a', POD_NAME: 'gateway-0',
  });
  expect(telemetrySettings(settings, { name: 'gateway', version: '1.0.0' })).toEqual({
    serviceName: 'gateway', serviceVersion: '1.0.0', otlpEndpoint: 'http://collector:4318', otlpHeaders: { 'x-tenant': 'a' }, sampler: 'parentbased_traceidratio', samplerArg: 0.1,
    resourceAttributes: { 'deployment.environment': 'prod', 'k8s.pod.name': 'gateway-0' }, logLevel: 'warn',
  });
  expect(telemetrySettings(readSettings(z.object({ ...telemetryVariables }), {}), { name: 'gateway', version: '1' })).toMatchObject({ logLevel: 'info', sampler: 'parentbased_always_on', resourceAttributes: {} });
});
