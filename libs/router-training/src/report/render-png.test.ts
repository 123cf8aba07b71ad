import { expect, test } from 'vitest';
import { renderPng } from './render-png.ts';

test('a plot becomes a PNG of twice its size, with its words in it', async () => {
  const svg = (words: string): string => `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="#fff"/><text x="10" y="20" font-family="DejaVu Sans">${words}</text></svg>`;
  const png = Buffer.from(await renderPng(svg('quality')));
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([240, 80]);
  expect(png.equals(await renderPng(svg('')))).toBe(false);
});
