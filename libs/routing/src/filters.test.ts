import { expect, test, vi } from 'vitest';
import { candidate, candidates, FIXTURE_NOW_MS, statsAfter } from './candidate.fixture.ts';
import { filterCandidates, noCandidateError, type FilterResult, type FilterSettings, type RemovalReason } from './filters.ts';
import type { Candidate } from './strategy.ts';

const settings = (more: Partial<FilterSettings> = {}): FilterSettings => ({ promptTokens: () => 100, nowMs: FIXTURE_NOW_MS, ...more });
const kept = (result: FilterResult): string[] => result.candidates.map(({ id }) => id);
const reasons = (result: FilterResult): Record<string, RemovalReason> => Object.fromEntries(result.removed.map(({ candidate: { id }, reason }) => [id, reason]));
const filterTags = (about: readonly Candidate[], tags: readonly string[], matchAny = true): FilterResult =>
  filterCandidates(about, settings({ tagRequest: { tags, matchAny } }));

test('when nothing speaks against anybody the very same list comes back and the prompt is not counted', () => {
  const about = candidates(3);
  const promptTokens = vi.fn(() => 1);
  const result = filterCandidates(about, settings({ promptTokens, checkContextWindow: true, enforceRateLimits: true, isCoolingDown: () => false, isBreakerOpen: () => false }));
  expect(result.candidates).toBe(about);
  expect(result.removed).toEqual([]);
  expect(promptTokens).not.toHaveBeenCalled();
});

const tagged = [candidate('free', { tags: ['free'] }), candidate('paid', { tags: ['paid', 'eu'] }), candidate('fallback', { tags: ['default'] }), candidate('plain')];
test.each([
  ['no tags take the default deployments', [], true, ['fallback']],
  ['one common tag is enough', ['free', 'eu'], true, ['free', 'paid']],
  ['all tags, when not any', ['paid', 'eu'], false, ['paid']],
  ['tags nobody knows take the default deployments', ['unheard-of'], true, ['fallback']],
  ['tags that exist but not together take nobody', ['free', 'eu'], false, []],
  ['an excluded tag', ['free', 'paid', '!eu'], true, ['free']],
  ['only an excluded tag narrows the default deployments', ['!eu'], true, ['fallback']],
  ['only a required tag asks everybody', ['&eu'], true, ['paid']],
  ['a required tag on top of a wanted one', ['paid', '&us'], true, []],
])('tags: %s', (_, tags, matchAny, expected) => {
  const result = filterTags(tagged, tags, matchAny);
  expect(kept(result)).toEqual(expected);
  expect(result.removed).toHaveLength(tagged.length - expected.length);
  expect(new Set(Object.values(reasons(result)))).toEqual(new Set(['tags']));
});

test('without default deployments an untagged request may go anywhere and an unknown tag nowhere', () => {
  const about = tagged.filter(({ id }) => id !== 'fallback');
  expect(filterTags(about, []).candidates).toBe(about);
  expect(kept(filterTags(about, ['unheard-of']))).toEqual([]);
});

test('tags are ignored while tag filtering is off', () => {
  expect(filterCandidates(tagged, settings()).candidates).toBe(tagged);
});

test('a prompt that does not fit leaves the model out only with pre-call checks; an unknown window fits', () => {
  const about = [candidate('small', { maxInputTokens: 99 }), candidate('exact', { maxInputTokens: 100 }), candidate('unknown')];
  const result = filterCandidates(about, settings({ checkContextWindow: true }));
  expect(kept(result)).toEqual(['exact', 'unknown']);
  expect(reasons(result)).toEqual({ small: 'context_window' });
  expect(filterCandidates(about, settings()).candidates).toBe(about);
});

test('cooldowns and open breakers are asked by id', () => {
  const result = filterCandidates(candidates(4), settings({ isCoolingDown: (id) => id === 'deployment-1', isBreakerOpen: (id) => id === 'deployment-3' }));
  expect(kept(result)).toEqual(['deployment-0', 'deployment-2']);
  expect(reasons(result)).toEqual({ 'deployment-1': 'cooling_down', 'deployment-3': 'breaker_open' });
});

test('max_parallel_requests counts what is under way', () => {
  const about = [candidate('full', { maxParallelRequests: 2, stats: statsAfter({ inFlight: 2 }) }), candidate('room', { maxParallelRequests: 2, stats: statsAfter({ inFlight: 1 }) })];
  const result = filterCandidates(about, settings());
  expect(kept(result)).toEqual(['room']);
  expect(reasons(result)).toEqual({ full: 'max_parallel_requests' });
});

test('rpm and tpm are hard limits only when enforced, and a new minute frees them', () => {
  const about = [
    candidate('at-rpm', { rpm: 1, stats: statsAfter({ tokens: 1 }) }),
    candidate('at-tpm', { tpm: 1_099, stats: statsAfter({ tokens: 1_000 }) }),
    candidate('below', { rpm: 2, tpm: 1_100, stats: statsAfter({ tokens: 1_000 }) }),
  ];
  const result = filterCandidates(about, settings({ enforceRateLimits: true }));
  expect(kept(result)).toEqual(['below']);
  expect(reasons(result)).toEqual({ 'at-rpm': 'rpm_limit', 'at-tpm': 'tpm_limit' });
  expect(filterCandidates(about, settings()).candidates).toBe(about);
  expect(filterCandidates(about, settings({ enforceRateLimits: true, nowMs: FIXTURE_NOW_MS + 60_000 })).candidates).toBe(about);
});

test('the prompt is counted once for all candidates', () => {
  const promptTokens = vi.fn(() => 10);
  filterCandidates(candidates(5, () => ({ maxInputTokens: 100, tpm: 100 })), settings({ promptTokens, checkContextWindow: true, enforceRateLimits: true }));
  expect(promptTokens).toHaveBeenCalledTimes(1);
});

test('the first reason is recorded, what the operator decided before what passes by itself', () => {
  const about = [candidate('a', { tags: ['x'], maxInputTokens: 1 }), candidate('b', { maxInputTokens: 1, rpm: 0 })];
  const result = filterCandidates(about, settings({ tagRequest: { tags: ['!x'], matchAny: true }, checkContextWindow: true, isCoolingDown: () => true, enforceRateLimits: true }));
  expect(result.candidates).toEqual([]);
  expect(reasons(result)).toEqual({ a: 'tags', b: 'context_window' });
});

const [one, two] = candidates(2) as readonly [Candidate, Candidate];
test.each<[string, RemovalReason[], number, string]>([
  ['tags', ['tags', 'tags'], 401, 'no_deployment_for_tags'],
  ['context window', ['context_window', 'tags'], 400, 'context_length_exceeded'],
  ['limits', ['rpm_limit', 'context_window'], 429, 'no_deployments_available'],
  ['cooldown', ['cooling_down', 'breaker_open'], 429, 'no_deployments_available'],
])('nobody left because of %s', (_, [left, right], status, code) => {
  const removed = [{ candidate: one, reason: left as RemovalReason }, { candidate: two, reason: right as RemovalReason }];
  expect(noCandidateError('chat', removed, { nowMs: FIXTURE_NOW_MS })).toMatchObject({ status, code });
});

test('whoever is at its limit is told to come back in the next minute, or when the caller knows better, then', () => {
  const removed = [{ candidate: one, reason: 'rpm_limit' as const }];
  expect(noCandidateError('chat', removed, { nowMs: FIXTURE_NOW_MS }).retryAfterMs).toBe(60_000 - (FIXTURE_NOW_MS % 60_000));
  expect(noCandidateError('chat', removed, { nowMs: FIXTURE_NOW_MS, retryAfterMs: 1_234 }).retryAfterMs).toBe(1_234);
});
