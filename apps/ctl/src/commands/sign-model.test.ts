import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadPublicKeys, verifyArtifactDirectory, writeArtifact } from '@pointsman/model-artifacts';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

async function run(...argv: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
  const [out, error]: [string[], string[]] = [[], []];
  const code = await runCommand(['sign-model', ...argv], { env: {}, columns: undefined, print: (text) => void out.push(text), printError: (text) => void error.push(text) });
  return { code, out: out.join('\n'), error: error.join('\n') };
}

const manifest = {
  schema_version: 1, name: 'knn-router', version: 'v42', strategy: 'llmrouter-knn', created_at: '2026-05-01T00:00:00Z', candidates: ['small'],
  features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } }, golden: [{ prompt: 'hi', scores: { small: 1 }, tolerance: 0.1 }],
  training: { dataset_uri: 'file:///d', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 1, metrics: {} },
} as const;

test('new keys sign a model that then verifies with the public half', async () => {
  await using directory = await temporaryDirectory();
  const keys = join(directory.path, 'keys');
  const model = join(directory.path, 'knn-router-v42');
  await writeArtifact(model, structuredClone(manifest) as never, new Map([['model.onnx', Buffer.from('weights')]]), undefined);
  const made = await run('--generate-keys', keys);
  expect(made).toMatchObject({ code: 0, error: '' });
  expect(made.out).not.toContain('BEGIN');
  expect((await stat(join(keys, 'model-signing.private.pem'))).mode & 0o077).toBe(0);
  const signed = await run(model, '--key', join(keys, 'model-signing.private.pem'), '--json');
  expect(signed).toMatchObject({ code: 0, error: '' });
  const verified = await verifyArtifactDirectory(model, { expect: { name: 'knn-router', version: 'v42' }, publicKeys: await loadPublicKeys([join(keys, 'model-signing.public.pem')]), mode: 'require', maxBytes: 1_000 });
  expect(JSON.parse(signed.out)).toMatchObject({ name: 'knn-router', version: 'v42', revision: verified.revision, key_id: verified.keyId, files: 1, bytes: 7 });
});

test('a key that is there is never replaced', async () => {
  await using directory = await temporaryDirectory();
  expect((await run('--generate-keys', directory.path)).code).toBe(0);
  const before = await readFile(join(directory.path, 'model-signing.private.pem'), 'utf8');
  expect(await run('--generate-keys', directory.path)).toMatchObject({ code: 1, error: expect.stringContaining('is there already') as string });
  expect(await readFile(join(directory.path, 'model-signing.private.pem'), 'utf8')).toBe(before);
});

test('a model whose files are not what the manifest says is not signed', async () => {
  await using directory = await temporaryDirectory();
  const model = join(directory.path, 'model');
  await run('--generate-keys', directory.path);
  const key = join(directory.path, 'model-signing.private.pem');
  await writeArtifact(model, structuredClone(manifest) as never, new Map([['model.onnx', Buffer.from('weights')]]), undefined);
  await writeFile(join(model, 'model.onnx'), 'weighty');
  expect(await run(model, '--key', key)).toMatchObject({ code: 1, error: expect.stringContaining('not what the manifest says') as string });
  await rm(join(model, 'manifest.json'));
  expect(await run(model, '--key', key)).toMatchObject({ code: 1, error: expect.stringContaining('cannot read') as string });
  await expect(stat(join(model, 'manifest.json.sig'))).rejects.toThrow('ENOENT');
});

test('what is missing or wrong on the command line is said', async () => {
  await using directory = await temporaryDirectory();
  expect(await run()).toMatchObject({ code: 1, error: expect.stringContaining('folder of the model') as string });
  expect(await run('x')).toMatchObject({ code: 1, error: expect.stringContaining('--key') as string });
  expect(await run('x', '--generate-keys', directory.path)).toMatchObject({ code: 1, error: expect.stringContaining('stands alone') as string });
  await writeFile(join(directory.path, 'key'), 'not a key: SECRET');
  const bad = await run('x', '--key', join(directory.path, 'key'));
  expect(bad).toMatchObject({ code: 1, error: expect.stringContaining('no private key') as string });
  expect(bad.error).not.toContain('SECRET');
});
