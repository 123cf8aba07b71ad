import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { predictionFolder } from './prediction-folder.ts';

test('predictions that were kept are found again by their key and by no other', async () => {
  await using directory = await temporaryDirectory();
  predictionFolder(directory.path).set('mmlu/hybrid 1', Float64Array.of(0.25, -1e-9));
  expect([...predictionFolder(directory.path).get('mmlu/hybrid 1')!]).toEqual([0.25, -1e-9]);
  expect(predictionFolder(directory.path).get('mmlu/hybrid 2')).toBeUndefined();
});
