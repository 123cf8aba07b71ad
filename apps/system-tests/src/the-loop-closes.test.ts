import { openObjectStore } from '@pointsman/object-store';
import { temporaryDirectory } from '@pointsman/testing';
import { test } from 'vitest';
import { closeTheLoop } from './closed-loop.ts';

test('what users say of answers becomes rows, a model, a passed gate and a promotion that lowers regret; a model that learned the opposite is refused and, forced, rolled back within a minute', async () => {
  await using directory = await temporaryDirectory();
  const store = await openObjectStore(`file://${directory.path}`);
  await closeTheLoop({ env: { OBJECT_STORE_URL: store.url }, store });
  store.close();
}, 300_000);
