import { expect, test } from 'vitest';
import { parseExposition } from './parse-exposition.ts';
import { countersOf, READ_METRICS } from './replica-reading.ts';

const NAMES = new Set(['m', 'm_total']);

function parsed(text: string): unknown[] {
  return [...parseExposition(text, NAMES)].map(({ name, labels, value }) => [name, Object.fromEntries(labels), value]);
}

test.each([
  ['m 1', ['m', {}, 1]],
  ['m{} 1', ['m', {}, 1]],
  ['m{a="b"} 1.5e3', ['m', { a: 'b' }, 1500]],
  ['m{a="b",c="d",} -2 1395066363000', ['m', { a: 'b', c: 'd' }, -2]],
  ['m { a = "b" } 3', undefined],
  ['m{ a = "b" , c="" } 3', ['m', { a: 'b', c: '' }, 3]],
  [String.raw`m{a="C:\\dir\\\"x\"\n}"} 4`, ['m', { a: 'C:\\dir\\"x"\n}' }, 4]],
  ['m{a="with } and , and # inside"} 5', ['m', { a: 'with } and , and # inside' }, 5]],
  ['m +Inf', ['m', {}, Infinity]],
  ['m -Inf', ['m', {}, -Infinity]],
  ['m_total{a="1"} 6 # {trace_id="ab"} 0.5', ['m_total', { a: '1' }, 6]],
  ['m{a="Ärger 🙂"} 7\r', ['m', { a: 'Ärger 🙂' }, 7]],
  ['m NaN', undefined],
  ['m', undefined],
  ['m{a="b" 1', undefined],
  ['m{a="b} 1', undefined],
  ['m{a=b} 1', undefined],
  ['# TYPE m counter', undefined],
  ['mm 1', undefined],
  ['', undefined],
])('%s', (line, expected) => {
  expect(parsed(`other 1\n${line}\n`)).toEqual(expected === undefined ? [] : [expected]);
});

test('a page of a gateway: what clients asked counts, what operators and sidecars asked does not', () => {
  const page = `# HELP gateway_requests_total Requests answered.
# TYPE gateway_requests_total counter
gateway_requests_total{route="/v1/chat/completions",model="chat",provider="openai",status="200"} 90
gateway_requests_total{route="/v1/chat/completions",model="chat",provider="openai",status="502"} 7
gateway_requests_total{route="/v1/chat/completions",model="chat",provider="none",status="429"} 3
gateway_requests_total{route="/health/config",model="none",provider="none",status="500"} 1000
gateway_requests_total{route="/config/reload",model="none",provider="none",status="500"} 1000
gateway_requests_total{route="/metrics",model="none",provider="none",status="401"} 1000
gateway_failed_requests_total{route="/v1/chat/completions",model="chat",reason="upstream"} 7
gateway_failed_requests_total{route="/v1/chat/completions",model="chat",reason="no_deployment"} 3
gateway_failed_requests_total{route="/health/config",model="none",reason="internal"} 1000
gateway_config_info{revision="0123456789ab"} 1
process_start_time_seconds 1763900000
`;
  expect(countersOf(parseExposition(page, READ_METRICS))).toEqual({
    arms: new Map(), revision: '0123456789ab', counters: { startedAt: 1763900000, requests: 100, failed: 10 },
  });
});
