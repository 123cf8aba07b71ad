import { expect, test } from 'vitest';
import { nearestName, slipOf } from './nearest-name.ts';

test.each([
  ['api_bse', 'api_base'], ['modle', 'model'], ['API_BASE', 'api_base'], ['api-base', 'api_base'], ['temprature', 'temperature'], ['streem', 'stream'],
])('%s is a slip of %s', (slip, meant) => {
  expect(slipOf(slip, ['model', 'api_base', 'temperature', 'stream', 'n'])).toBe(meant);
});

test.each(['m', 'rpm', 'top', 'sampling_flavour', 'chat_template', 'x'.repeat(10_000)])('%s is a name of its own', (name) => {
  expect(slipOf(name, ['model', 'tpm', 'api_base', 'temperature', 'top_p'])).toBeUndefined();
});

test('advice is more generous than a refusal', () => {
  expect(nearestName('latency-based', ['latency-based-routing', 'cost-based-routing'])).toBe('latency-based-routing');
  expect(nearestName('something_else', ['fallbacks', 'timeout'])).toBeUndefined();
  expect(nearestName('nothing', [])).toBeUndefined();
});
