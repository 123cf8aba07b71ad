import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SettingsError } from '@pointsman/service';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readAuditExporterSettings } from './settings.ts';

const problemsOf = (env: Readonly<Record<string, string>>): readonly string[] => {
  try {
    readAuditExporterSettings(env);
    return [];
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    expect(error.message).not.toMatch(/hunter2/);
    return error.problems.map(({ variable }) => variable).sort();
  }
};

test('a bucket is all it takes; the rest has the defaults of the contract', () => {
  expect(readAuditExporterSettings({ AUDIT_BUCKET_URL: 's3://audit' })).toMatchObject({
    storeUrl: 's3://audit', sse: 'AES256', retentionDays: undefined, signingKey: undefined, database: { kind: 'embedded' }, intervalMs: 86_400_000, healthPort: 8083, partRows: 10_000,
  });
  expect(readAuditExporterSettings({ S3_BUCKET: 'bucket', AUDIT_SSE: 'off', DATABASE_URL: 'none' })).toMatchObject({ storeUrl: 's3://bucket', sse: undefined, database: { kind: 'none' } });
  expect(readAuditExporterSettings({ OBJECT_STORE_URL: 's3://bucket', DATABASE_URL: 'postgres://u:p@h/d' })).toMatchObject({ storeUrl: 's3://bucket', database: { kind: 'postgres' } });
});

test('every problem is reported at once and no value is repeated', () => {
  expect(problemsOf({ AUDIT_EXPORT_INTERVAL: 'daily', AUDIT_RETENTION_DAYS: '0', REDIS_URL: 'rediz://:hunter2@host', DATABASE_URL: 'hunter2', AUDIT_SIGNING_KEY: '/hunter2.pem' }))
    .toEqual(['AUDIT_BUCKET_URL', 'AUDIT_EXPORT_INTERVAL', 'AUDIT_RETENTION_DAYS', 'AUDIT_SIGNING_KEY', 'DATABASE_URL', 'REDIS_URL']);
});

test('a retention that nobody would keep is refused: a folder cannot', () => {
  expect(problemsOf({ AUDIT_BUCKET_URL: 'file:///audit', AUDIT_RETENTION_DAYS: '30' })).toEqual(['AUDIT_RETENTION_DAYS']);
});

test('only an Ed25519 private key signs', async () => {
  await using directory = await temporaryDirectory();
  const write = async (name: string, pem: string | Buffer): Promise<string> => {
    await writeFile(join(directory.path, name), pem);
    return join(directory.path, name);
  };
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const good = await write('good', privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const base = { AUDIT_BUCKET_URL: 's3://audit' };
  expect(readAuditExporterSettings({ ...base, AUDIT_SIGNING_KEY: good }).signingKey?.asymmetricKeyType).toBe('ed25519');
  const bad = [publicKey.export({ type: 'spki', format: 'pem' }), generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }), 'hunter2'];
  for (const [index, pem] of bad.entries()) expect(problemsOf({ ...base, AUDIT_SIGNING_KEY: await write(`bad-${String(index)}`, pem) })).toEqual(['AUDIT_SIGNING_KEY']);
});
