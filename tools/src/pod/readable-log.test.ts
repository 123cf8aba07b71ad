import { expect, test } from 'vitest';
import { listeningUrl, readableLine } from './readable-log.ts';

test('a JSON line becomes one a person can read, whatever way its level is written', () => {
  const named = readableLine('gateway', '{"level":"warn","time":"2026-01-31T12:30:00.000Z","msg":"config rejected","path":"a.b","trace_id":"x"}');
  expect(named.text).toMatch(/^\d\d:30:00 warn gateway config rejected path=a\.b$/);
  expect(named.isWarning).toBe(true);
  expect(readableLine('gateway', '{"level":30,"time":1700000000000,"msg":"ready"}').isWarning).toBe(false);
  expect(readableLine('gateway', '{"level":50,"msg":"boom"}')).toEqual({ text: 'error gateway boom', isWarning: true });
});

test('a line that is not JSON is shown: it is the stack of a crash', () => {
  expect(readableLine('gateway', 'TypeError: x')).toEqual({ text: 'gateway: TypeError: x', isWarning: true });
  expect(readableLine('gateway', '{broken').isWarning).toBe(true);
});

test('only the line that says listening carries the URL', () => {
  expect(listeningUrl('{"msg":"listening","url":"http://127.0.0.1:1"}')).toBe('http://127.0.0.1:1');
  expect(listeningUrl('{"msg":"other","url":"http://127.0.0.1:1"}')).toBeUndefined();
  expect(listeningUrl('listening')).toBeUndefined();
});
