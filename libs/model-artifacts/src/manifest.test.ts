import { expect, test } from 'vitest';
import { manifestOf } from './artifact.fixture.ts';
import { artifactRevision, isRevisionOf, manifestDigest, MAX_MANIFEST_BYTES, modelFolder, readManifest } from './manifest.ts';
import { manifestBytesOf } from './write-artifact.ts';

const file = { path: 'model.onnx', sha256: 'b'.repeat(64), bytes: 3 };
const bytes = manifestBytesOf({ ...manifestOf(), files: [file] });
const changed = (change: (manifest: Record<string, unknown>) => void): Buffer => {
  const manifest = JSON.parse(bytes.toString()) as Record<string, unknown>;
  change(manifest);
  return Buffer.from(JSON.stringify(manifest));
};

test('a manifest is read, fields of a newer trainer included', () => {
  expect(readManifest(bytes)).toMatchObject({ name: 'knn-router', version: 'v42', files: [file] });
  expect(readManifest(changed((manifest) => { manifest['new_field'] = { a: 1 }; })).name).toBe('knn-router');
});

test('what is wrong is told with its path and what was expected', () => {
  const read = (given: Buffer) => () => readManifest(given);
  expect(read(changed((manifest) => { manifest['version'] = '42'; }))).toThrow(/version: expected a version such as v42/);
  expect(read(changed((manifest) => { manifest['name'] = '../x'; }))).toThrow(/name: expected a name of letters/);
  expect(read(changed((manifest) => { manifest['schema_version'] = 2; }))).toThrow(/schema_version: expected schema_version 1/);
  expect(read(changed((manifest) => { manifest['files'] = [{ ...file, sha256: 'x' }]; }))).toThrow(/files\.0\.sha256: expected a SHA-256/);
  expect(read(changed((manifest) => { delete manifest['golden']; }))).toThrow(/golden: /);
  expect(read(Buffer.from('{'))).toThrow(/it is not JSON/);
  expect(read(Buffer.from([0xff, 0xfe]))).toThrow(/it is not UTF-8/);
  expect(read(Buffer.from('[]'))).toThrow(/\(file\): /);
});

test('a manifest that is too large or too deep is refused', () => {
  expect(() => readManifest(Buffer.alloc(MAX_MANIFEST_BYTES + 1, ' '))).toThrow(expect.objectContaining({ code: 'manifest_too_large' }));
  expect(() => readManifest(Buffer.from('['.repeat(1_000_000)))).toThrow(expect.objectContaining({ code: 'manifest_invalid' }));
  const deep = `${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`;
  expect(() => readManifest(Buffer.from(deep))).toThrow(expect.objectContaining({ code: 'manifest_invalid' }));
});

test('no manifest reaches the prototype of objects', () => {
  const text = bytes.toString().replace('"small": 0.4', '"__proto__": 0.4');
  expect(() => readManifest(Buffer.from(text))).toThrow(/__proto__ is not allowed/);
  expect(() => readManifest(Buffer.from(bytes.toString().replace('{', '{"__proto__": {"polluted": true},')))).toThrow(/__proto__ is not allowed/);
  expect('polluted' in {}).toBe(false);
});

test('the revision is the version and the digest of the exact bytes', () => {
  const revision = artifactRevision({ version: 'v42' }, bytes);
  expect(revision).toBe(`v42-${manifestDigest(bytes).slice(0, 12)}`);
  expect(artifactRevision({ version: 'v42' }, Buffer.concat([bytes, Buffer.from('\n')]))).not.toBe(revision);
  expect(isRevisionOf('v42', revision)).toBe(true);
  expect(isRevisionOf('v4', 'v4-rc1-0123456789ab')).toBe(false);
  expect(isRevisionOf('v4-rc1', 'v4-rc1-0123456789ab')).toBe(true);
  expect(isRevisionOf('v4', 'v42-0123456789ab')).toBe(false);
});

test('an artifact lives in the folder that the contract names', () => {
  expect(modelFolder('knn-router', 'v42')).toBe('models/knn-router-v42');
});
