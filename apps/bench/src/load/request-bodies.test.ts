import { expect, test } from 'vitest';
import { scenarios } from '../scenarios.ts';
import { requestBodies, withSeed } from './request-bodies.ts';

test('bodies are the same in every run and differ from each other', () => {
  const bodies = requestBodies(scenarios.short, 'm').map(String);
  expect(requestBodies(scenarios.short, 'm').map(String)).toEqual(bodies);
  expect(new Set(bodies).size).toBe(bodies.length);
});

test('a long prompt has the length that its scenario says, and only streams ask for a stream', () => {
  const [long] = requestBodies(scenarios['long-prompt'], 'm');
  const parsed = JSON.parse(String(long)) as { messages: { content: string }[]; stream?: boolean };
  expect(parsed.messages[1]?.content).toHaveLength(36 * 1024);
  expect(parsed.stream).toBeUndefined();
  expect(String(requestBodies(scenarios.stream, 'm')[0])).toContain('"stream":true');
});

test('every request can be made different from all others without changing its length', () => {
  const [body] = requestBodies(scenarios.short, 'm');
  if (body === undefined) throw new Error('no body');
  const changed = withSeed(body, 1_234_567);
  expect(changed).toHaveLength(body.length);
  expect(JSON.parse(String(changed))).toEqual({ ...JSON.parse(String(body)), seed: 2_234_567 });
  expect(JSON.parse(String(body))).toMatchObject({ seed: 1_000_000 });
});
