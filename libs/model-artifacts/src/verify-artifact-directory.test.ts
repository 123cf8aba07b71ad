import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { manifestOf, otherPrivateKeyPem, privateKeyPem, publicKeys } from './artifact.fixture.ts';
import { verifyArtifactDirectory, type VerifyArtifactOptions } from './verify-artifact-directory.ts';
import { manifestBytesOf, signDirectory, writeArtifact } from './write-artifact.ts';

const home = await temporaryDirectory();
afterAll(() => home[Symbol.asyncDispose]());
let count = 0;
let directory: string;
const files = new Map([['model.onnx', Buffer.alloc(100_000, 7)], ['tables/vectors.bin', Buffer.from('vectors')], ['empty', Buffer.alloc(0)]]);
const options: VerifyArtifactOptions = { expect: { name: 'knn-router', version: 'v42' }, publicKeys, mode: 'require', maxBytes: 1_000_000 };

beforeEach(async () => {
  directory = join(home.path, String(count += 1));
  await writeArtifact(directory, manifestOf(), files, privateKeyPem);
});
const rejectedAs = (code: string, more: object = {}): unknown => expect.objectContaining({ name: 'ArtifactRejectedError', code, ...more });

test('a whole, signed artifact is good', async () => {
  const verified = await verifyArtifactDirectory(directory, options);
  expect(verified.revision).toMatch(/^v42-[0-9a-f]{12}$/);
  expect(verified.keyId).toBe(publicKeys[0]?.keyId);
  expect(verified.warnings).toEqual([]);
});

test('one flipped bit in a file is found', async () => {
  const bytes = await readFile(join(directory, 'model.onnx'));
  bytes[50_000] = (bytes[50_000] ?? 0) ^ 1;
  await writeFile(join(directory, 'model.onnx'), bytes);
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_digest', { path: 'model.onnx' }));
});

test('a truncated and a missing file are found', async () => {
  await truncate(join(directory, 'model.onnx'), 99_999);
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_size', { message: 'The file "model.onnx" has 99999 bytes; the manifest says 100000.' }));
  await rm(join(directory, 'model.onnx'));
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_missing', { path: 'model.onnx' }));
});

test('a file that the manifest does not name, links and folders in place of files are found', async () => {
  await writeFile(join(directory, 'tables', 'more.bin'), '');
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_unexpected', { path: 'tables/more.bin' }));
  await rm(join(directory, 'tables', 'more.bin'));
  await rm(join(directory, 'empty'));
  await symlink('/dev/null', join(directory, 'empty'));
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_not_regular', { path: 'empty' }));
  await rm(join(directory, 'empty'));
  await mkdir(join(directory, 'empty'));
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_not_regular', { path: 'empty' }));
});

test('without a good signature of a known key nothing is good, unless that is only warned of or off', async () => {
  const manifest = await readFile(join(directory, 'manifest.json'));
  await signDirectory(directory, manifest, otherPrivateKeyPem);
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('signature_invalid'));
  expect((await verifyArtifactDirectory(directory, { ...options, mode: 'warn' })).warnings).toEqual([expect.stringMatching(/not that of a known key/)]);
  await writeFile(join(directory, 'manifest.json.sig'), 'short');
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('signature_invalid', { message: 'manifest.json.sig has 5 bytes; an Ed25519 signature has 64.' }));
  await signDirectory(directory, manifest, undefined);
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('signature_missing'));
  expect((await verifyArtifactDirectory(directory, { ...options, mode: 'warn' })).warnings).toEqual([expect.stringMatching(/not signed/)]);
  expect((await verifyArtifactDirectory(directory, { ...options, mode: 'off' })).warnings).toEqual([]);
});

test('a manifest that was changed after signing is found, and its digests still count when signatures do not', async () => {
  const path = join(directory, 'manifest.json');
  await writeFile(path, (await readFile(path, 'utf8')).replace('"bytes": 7', '"bytes": 8'));
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('signature_invalid'));
  await expect(verifyArtifactDirectory(directory, { ...options, mode: 'off' })).rejects.toEqual(rejectedAs('file_size'));
});

test('the validly signed manifest of another version or name is refused in every mode', async () => {
  for (const expected of [{ name: 'knn-router', version: 'v41' }, { name: 'other', version: 'v42' }]) {
    for (const mode of ['require', 'warn', 'off'] as const) await expect(verifyArtifactDirectory(directory, { ...options, mode, expect: expected })).rejects.toEqual(rejectedAs('wrong_model'));
  }
});

test('a signed manifest that wants to write elsewhere, or too much, is refused', async () => {
  const escaping = manifestBytesOf({ ...manifestOf(), files: [{ path: '../evil', sha256: 'a'.repeat(64), bytes: 1 }] });
  await writeFile(join(directory, 'manifest.json'), escaping);
  await signDirectory(directory, escaping, privateKeyPem);
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('file_name', { path: '../evil' }));
  await rm(directory, { recursive: true });
  await writeArtifact(directory, manifestOf(), files, privateKeyPem);
  await expect(verifyArtifactDirectory(directory, { ...options, maxBytes: 1_000 })).rejects.toEqual(rejectedAs('too_large'));
});

test('a missing, unreadable or huge manifest is told apart', async () => {
  await writeFile(join(directory, 'manifest.json'), '{');
  await signDirectory(directory, Buffer.from('{'), privateKeyPem);
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('manifest_invalid'));
  await writeFile(join(directory, 'manifest.json'), '{}');
  await truncate(join(directory, 'manifest.json'), 100 * 1024 * 1024);
  await expect(verifyArtifactDirectory(directory, { ...options, mode: 'off' })).rejects.toEqual(rejectedAs('manifest_too_large'));
  await rm(join(directory, 'manifest.json'));
  await expect(verifyArtifactDirectory(directory, options)).rejects.toEqual(rejectedAs('manifest_missing'));
});

test('checking stops on its signal', async () => {
  await expect(verifyArtifactDirectory(directory, { ...options, signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');
});

test('the same content gives the same bytes, and only an empty directory is written to', async () => {
  const again = join(home.path, `${count}-again`);
  const first = await readFile(join(directory, 'manifest.json'));
  const source = join(home.path, `${count}-source`);
  await writeFile(source, files.get('model.onnx') ?? '');
  const written = await writeArtifact(again, Object.fromEntries(Object.entries(manifestOf()).toReversed()) as ReturnType<typeof manifestOf>, new Map([...files].toReversed().map(([path, body]) => [path, path === 'model.onnx' ? { file: source } : body])), undefined);
  expect(written.manifestBytes.equals(first)).toBe(true);
  expect(first.toString().endsWith('}\n')).toBe(true);
  await expect(writeArtifact(again, manifestOf(), files, undefined)).rejects.toMatchObject({ code: 'directory_not_empty' });
  await expect(writeArtifact(join(home.path, 'x'), manifestOf(), new Map([['../x', Buffer.alloc(1)]]), undefined)).rejects.toEqual(rejectedAs('file_name'));
});
