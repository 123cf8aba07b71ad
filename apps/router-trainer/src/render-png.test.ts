import { expect, test } from 'vitest';
import { predictionFolder } from './prediction-folder.ts';
import { renderPng } from './render-png.ts';
import { temporaryDirectory } from '@pointsman/testing';

test('a plot becomes a PNG of twice its size, with its words in it', () => {
  const svg = (words: string): string => `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="#fff"/><text x="10" y="20" font-family="DejaVu Sans">${words}</text></svg>`;
  const png = Buffer.from(renderPng(svg('quality')));
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([240, 80]);
  expect(png.equals(renderPng(svg('')))).toBe(false);
});

test('predictions that were kept are found again by their key and by no other', async () => {
  await using directory = await temporaryDirectory();
  predictionFolder(directory.path).set('mmlu/hybrid 1', Float64Array.of(0.25, -1e-9));
  expect([...predictionFolder(directory.path).get('mmlu/hybrid 1')!]).toEqual([0.25, -1e-9]);
  expect(predictionFolder(directory.path).get('mmlu/hybrid 2')).toBeUndefined();
});
