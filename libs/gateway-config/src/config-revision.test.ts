import { expect, test } from 'vitest';
import { configRevision } from './config-revision.ts';

const files = [{ path: '/a/config.yaml', text: 'model_list: []\n' }];

test('a configuration of one file has the digest that sha256sum shows for it', () => {
  expect(configRevision({ files })).toBe('383e57317bf3');
});

test('where the files lie does not count, every text does, and none can pass for another', () => {
  const elsewhere = [{ path: '/b/.staging/config.yaml', text: 'model_list: []\n' }];
  expect(configRevision({ files: elsewhere })).toBe(configRevision({ files }));
  const revisions = [
    configRevision({ files }), configRevision({ files, candidates: '{}' }), configRevision({ files, degradedMode: '{}' }),
    configRevision({ files, candidates: '{}', degradedMode: '{}' }), configRevision({ files: [...files, { path: 'more.yaml', text: '{}' }] }),
    configRevision({ files, candidates: '' }), configRevision({ files, degradedMode: '' }),
  ];
  expect(new Set(revisions).size).toBe(revisions.length);
});
