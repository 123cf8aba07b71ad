import { expect, test } from 'vitest';
import { parseGateways } from './parse-gateways.ts';

test.each([
  ['http://10.0.0.7:4000', { kind: 'list', urls: ['http://10.0.0.7:4000'] }],
  ['http://a:4000/, https://b/base/ ,http://a:4000', { kind: 'list', urls: ['http://a:4000', 'https://b/base'] }],
  ['http://[::1]:4000', { kind: 'list', urls: ['http://[::1]:4000'] }],
  ['dns://gateway-headless:4000', { kind: 'dns', host: 'gateway-headless', port: 4000 }],
  ['dns://gateway.prod.svc.cluster.local', { kind: 'dns', host: 'gateway.prod.svc.cluster.local', port: 4000 }],
])('%s', (text, expected) => {
  expect(parseGateways(text)).toEqual(expected);
});

test.each(['', ' , ', 'gateway:4000', 'dns://', 'dns://a/path', 'dns://a:1,dns://b:2', 'dns://a,http://b', 'ftp://a', 'http://a?x=1'])('%j is refused with both forms', (text) => {
  expect(() => parseGateways(text)).toThrow(/http:\/\/10\.0\.0\.7:4000.*dns:\/\/gateway-headless:4000/);
});

test('credentials in a URL are refused and not repeated', () => {
  expect(() => parseGateways('http://me:hunter2@a')).toThrow(expect.objectContaining({ message: expect.not.stringContaining('hunter2') as string }) as Error);
});
