import { releaseSchema, type Release } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { folderOf, inFolder, isUpload, promoted, rolledBackTo, withoutCanary } from './release-file.ts';

const canary = { config_key: 'prod/releases/new/config.yaml', percent: 100, started_at: '2026-11-23T10:00:00.000Z', started_by: 'ada' };
const stable = { config_key: 'prod/config.yaml' };
const at = new Date('2026-11-23T11:00:00.000Z');

function former(count: number): NonNullable<Release['history']> {
  return Array.from({ length: count }, (_, index) => ({ config_key: `prod/releases/${String(index)}/config.yaml`, until: '2026-11-01T00:00:00.000Z', replaced_by: 'bob' }));
}

test('a promoted canary is stable and what it replaced leads the history, which never grows past what the schema takes', () => {
  const next = promoted({ stable, canary, history: former(50) }, { at, by: 'ada' });
  expect(next.stable).toEqual({ config_key: canary.config_key });
  expect(next.canary).toBeUndefined();
  expect(next.history).toHaveLength(50);
  expect(next.history?.[0]).toEqual({ config_key: 'prod/config.yaml', until: at.toISOString(), replaced_by: 'ada' });
  expect(releaseSchema.parse(next)).toEqual(next);
});

test('what was replaced is remembered where it was kept', () => {
  const kept = 'prod/releases/kept/config.yaml';
  expect(promoted({ stable, canary }, { at, by: 'ada', keptAs: kept }).history?.map(({ config_key: key }) => key)).toEqual([kept]);
  expect([isUpload(kept, 'prod'), isUpload('prod/config.yaml', 'prod'), isUpload('releases/a/config.yaml', '')]).toEqual([true, false, true]);
});

test('a key is in the history once', () => {
  const next = promoted({ stable, canary, history: [...former(2), { ...former(1)[0], config_key: canary.config_key, until: at.toISOString(), replaced_by: 'bob' }] }, { at, by: 'ada' });
  expect(next.history?.map(({ config_key: key }) => key)).toEqual(['prod/config.yaml', 'prod/releases/0/config.yaml', 'prod/releases/1/config.yaml']);
});

test('without its canary a release keeps everything else', () => {
  expect(withoutCanary({ stable, canary, history: former(3) })).toEqual({ stable, history: former(3) });
  expect(withoutCanary({ stable, canary })).toEqual({ stable });
});

test('a rollback takes both ends of it out of the history', () => {
  expect(rolledBackTo({ stable, canary, history: former(3) }, 'prod/releases/1/config.yaml')).toEqual({ stable: { config_key: 'prod/releases/1/config.yaml' }, history: [former(3)[0], former(3)[2]] });
});

test('an environment is a folder, or the top of the store', () => {
  expect([folderOf('a/prod/config.yaml'), folderOf('config.yaml'), inFolder('', 'release.json'), inFolder('prod', 'release.json')]).toEqual(['a/prod', '', 'release.json', 'prod/release.json']);
});
