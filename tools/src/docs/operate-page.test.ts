import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const page = read('docs/operate.md');

test('docs/operate.md names every metric there is, and none that is not', () => {
  const defined = [...read('libs/telemetry/src/metric-names.ts').matchAll(/define(?:Counter|Gauge|Histogram)\('([a-z_]+)'/g)].map(([, name]) => name);
  expect(defined.length).toBeGreaterThan(20);
  expect(defined.filter((name) => !page.includes(`\`${String(name)}\``))).toEqual([]);
  const named = [...page.matchAll(/`((?:gateway|router|telemetry|sync|audit|circuit|active|trace)_[a-z_]+(?:_total|_seconds|_info|_state|_requests|_mode|_streams|_count))`/g)].map(([, name]) => name);
  expect(named.filter((name) => !defined.includes(name) && name !== undefined)).toEqual([]);
});

test('docs/operate.md names every variable that the gateway reads', () => {
  const own = [...read('apps/gateway/src/settings.ts').matchAll(/^ {2}([A-Z][A-Z_]+): setting\./gm)].map(([, name]) => name);
  const common = [...read('libs/service/src/common-settings.ts').matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name]) => name);
  expect(own.length).toBeGreaterThan(5);
  expect(common.length).toBeGreaterThan(5);
  expect([...own, ...common].filter((name) => !page.includes(`\`${String(name)}\``))).toEqual([]);
});
