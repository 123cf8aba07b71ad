import { mkdir, readdir, readFile, rename, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeArtifact, type ManifestDemands } from '@pointsman/model-artifacts';
import { createLogger } from '@pointsman/telemetry';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createModelGenerations } from './model-generations.ts';
import { manifestOf } from './model-sync.fixture.ts';

const demands: ManifestDemands = { expect: { name: 'm', version: 'v1' }, publicKeys: [], mode: 'off', maxBytes: 1_000 };
const question = { demands, signal: new AbortController().signal, logger: createLogger({ service: 't', level: 'silent', write: () => undefined }) };

async function stage(root: string, name: string, content: string, version = 'v1'): Promise<{ staged: string; revision: string }> {
  const staged = join(root, `.staging-${name}`);
  const { revision } = await writeArtifact(staged, manifestOf('m', version), new Map([['a', Buffer.from(content)]]), undefined);
  return { staged, revision };
}

test('a generation that is there and good stays; one that is bad gives way to a good one', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const first = await stage(root, '1', 'content');
  await createModelGenerations(root).place(first.staged, first.revision);
  const file = join(root, 'generations', first.revision, 'a');
  await writeFile(file, 'damaged');

  const generations = createModelGenerations(root);
  expect(await generations.has(first.revision, question)).toBe(false);
  const second = await stage(root, '2', 'content');
  await generations.place(second.staged, second.revision);
  expect(second.revision).toBe(first.revision);
  expect(await readFile(file, 'utf8')).toBe('content');
  expect(await generations.has(first.revision, question)).toBe(true);
  expect((await readdir(root)).toSorted()).toEqual(['generations']);
});

test('the newest good generation of exactly that version is found', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const writer = createModelGenerations(root);
  const revisions: string[] = [];
  for (const [index, [content, version]] of ([['old', 'v1'], ['new', 'v1'], ['damaged', 'v1'], ['other', 'v1-rc']] as const).entries()) {
    const { staged, revision } = await stage(root, String(index), content, version);
    await writer.place(staged, revision);
    await utimes(join(root, 'generations', revision), 1_000 + index, 1_000 + index);
    revisions.push(revision);
  }
  await writeFile(join(root, 'generations', revisions[2] ?? '', 'more'), '');
  await utimes(join(root, 'generations', revisions[2] ?? ''), 1_002, 1_002);
  const generations = createModelGenerations(root);
  expect(await generations.newestOf('v1', question)).toBe(revisions[1]);
  expect(await generations.newestOf('v2', question)).toBeUndefined();
});

test('a directory under the name of another content is not good', async () => {
  await using directory = await temporaryDirectory();
  const { staged } = await stage(directory.path, '1', 'content');
  await mkdir(join(directory.path, 'generations'));
  const generations = createModelGenerations(directory.path);
  await rename(staged, generations.pathOf('v1-000000000000'));
  expect(await generations.has('v1-000000000000', question)).toBe(false);
});

test('a bad generation is taken away from the gateway, but for the published one', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const [bad, published] = [await stage(root, '1', 'bad'), await stage(root, '2', 'published')];
  for (const { staged, revision } of [bad, published]) {
    await createModelGenerations(root).place(staged, revision);
    await writeFile(join(root, 'generations', revision, 'a'), 'damaged');
  }
  await symlink(join('generations', published.revision), join(root, 'current'));
  const generations = createModelGenerations(root);
  expect(await generations.has(bad.revision, { ...question, demands: { ...demands, expect: { name: 'm', version: 'v2' } } })).toBe(false);
  expect(await readdir(join(root, 'generations'))).toHaveLength(2);
  for (const { revision } of [bad, published]) expect(await generations.has(revision, question)).toBe(false);
  expect(await readdir(join(root, 'generations'))).toEqual([published.revision]);
  await symlink(join('generations', 'v1-000000000000'), join(root, '.link-1'));
  await rename(join(root, '.link-1'), join(root, 'current'));
  expect(await generations.has(published.revision, question)).toBe(false);
  expect((await readdir(root)).toSorted()).toEqual(['current', 'generations']);
  expect(await readdir(join(root, 'generations'))).toEqual([]);
});
