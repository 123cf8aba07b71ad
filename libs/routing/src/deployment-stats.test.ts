import { expect, test } from 'vitest';
import { DeploymentStats, type FinishedCall } from './deployment-stats.ts';
import { DeploymentStatsRegistry } from './deployment-stats-registry.ts';

const MINUTE = 1_700_000_040_000;
const HOUR = 3_600_000;

function call(stats: DeploymentStats, finished: Partial<FinishedCall> = {}): void {
  const nowMs = finished.nowMs ?? MINUTE;
  stats.begin(nowMs);
  stats.end({ nowMs, latencyMs: 1_000, ttftMs: undefined, tokens: 0, completionTokens: 100, ok: true, ...finished });
}

test('requests are counted when they begin, tokens when they end, and a new minute starts from zero', () => {
  const stats = new DeploymentStats();
  stats.begin(MINUTE + 1_000);
  expect(stats.requestsThisMinute(MINUTE + 2_000)).toBe(1);
  expect(stats.tokensThisMinute(MINUTE + 2_000)).toBe(0);
  stats.end({ nowMs: MINUTE + 3_000, latencyMs: 2_000, ttftMs: 100, tokens: 321, completionTokens: 21, ok: true });
  expect(stats.tokensThisMinute(MINUTE + 59_999)).toBe(321);
  expect(stats.requestsThisMinute(MINUTE + 60_000)).toBe(0);
  expect(stats.tokensThisMinute(MINUTE + 60_000)).toBe(0);
});

test('what began in one minute and ended in the next counts its tokens in the next', () => {
  const stats = new DeploymentStats();
  stats.begin(MINUTE);
  stats.end({ nowMs: MINUTE + 61_000, latencyMs: 61_000, ttftMs: undefined, tokens: 50, completionTokens: 50, ok: true });
  expect(stats.requestsThisMinute(MINUTE + 62_000)).toBe(0);
  expect(stats.tokensThisMinute(MINUTE + 62_000)).toBe(50);
});

test('what is under way is counted until it ends, and never below zero', () => {
  const stats = new DeploymentStats();
  stats.begin(MINUTE);
  stats.begin(MINUTE);
  expect(stats.inFlight).toBe(2);
  for (let end = 0; end < 3; end += 1) stats.end({ nowMs: MINUTE, latencyMs: undefined, ttftMs: undefined, tokens: 0, ok: false });
  expect(stats.inFlight).toBe(0);
  expect(stats.failuresThisMinute(MINUTE)).toBe(3);
  expect(stats.failuresThisMinute(MINUTE + 60_000)).toBe(0);
});

test('latency is per completion token, over the last ten calls', () => {
  const stats = new DeploymentStats();
  expect(stats.msPerToken(MINUTE, HOUR)).toBeUndefined();
  for (let index = 0; index < 10; index += 1) call(stats, { latencyMs: 9_000 });
  expect(stats.msPerToken(MINUTE, HOUR)).toBeCloseTo(90);
  for (let index = 0; index < 10; index += 1) call(stats, { latencyMs: 1_000 });
  expect(stats.msPerToken(MINUTE, HOUR)).toBeCloseTo(10);
});

test('samples older than the ttl count no more', () => {
  const stats = new DeploymentStats();
  call(stats, { latencyMs: 9_000 });
  call(stats, { nowMs: MINUTE + 1_000, latencyMs: 1_000 });
  expect(stats.msPerToken(MINUTE + HOUR + 500, HOUR)).toBeCloseTo(10);
  expect(stats.msPerToken(MINUTE + HOUR + 1_001, HOUR)).toBeUndefined();
});

test('a timeout weighs a thousand seconds for a minute, then it is forgotten', () => {
  const stats = new DeploymentStats();
  call(stats, { ttftMs: 200 });
  call(stats, { ok: false, timedOut: true });
  expect(stats.msPerToken(MINUTE, HOUR)).toBeGreaterThan(100_000);
  expect(stats.ttftMs(MINUTE, HOUR)).toBeGreaterThan(100_000);
  expect(stats.msPerToken(MINUTE + 60_001, HOUR)).toBeCloseTo(10);
  expect(stats.ttftMs(MINUTE + 60_001, HOUR)).toBeCloseTo(200);
});

test('calls that say nothing about speed leave no sample', () => {
  const stats = new DeploymentStats();
  call(stats, { completionTokens: undefined });
  call(stats, { latencyMs: undefined });
  call(stats, { latencyMs: Number.NaN, ttftMs: Number.NaN });
  call(stats, { latencyMs: -5 });
  call(stats, { ok: false });
  expect(stats.msPerToken(MINUTE, HOUR)).toBeUndefined();
  expect(stats.ttftMs(MINUTE, HOUR)).toBeUndefined();
});

test('a call that makes no text, such as an embedding, counts with its whole latency', () => {
  const stats = new DeploymentStats();
  call(stats, { latencyMs: 80, completionTokens: 0 });
  expect(stats.msPerToken(MINUTE, HOUR)).toBeCloseTo(80);
});

test('the registry keeps stats over reloads and forgets what is unused and idle', () => {
  const registry = new DeploymentStatsRegistry();
  const kept = registry.get('kept');
  const busy = registry.get('busy');
  registry.get('gone');
  busy.begin(MINUTE);
  registry.retain(new Set(['kept']));
  expect(registry.size).toBe(2);
  expect(registry.get('kept')).toBe(kept);
  expect(registry.get('busy')).toBe(busy);
  busy.end({ nowMs: MINUTE, latencyMs: undefined, ttftMs: undefined, tokens: 0, ok: true });
  registry.retain(new Set(['kept']));
  expect(registry.size).toBe(1);
});

test('the registry is bounded and drops what was asked for longest ago, busy ones last', () => {
  const registry = new DeploymentStatsRegistry({ limit: 3 });
  const busy = registry.get('busy');
  busy.begin(MINUTE);
  const [first] = [registry.get('first'), registry.get('second')];
  registry.get('first');
  registry.get('third');
  expect(registry.size).toBe(3);
  expect(registry.get('busy')).toBe(busy);
  expect(registry.get('first')).toBe(first);
});
