import { describe, expect, test } from 'vitest';
import { entry, startFakeGateway, type FakeGateway } from '../fake-gateway.fixture.ts';

const CONFIG = `model_list:\n${entry('chat', 'chat-1')}`;
const feedbackSpan = (gateway: FakeGateway) => gateway.spans.flatMap(({ children }) => children).find(({ name }) => name === 'router.feedback');

describe('POST /v1/feedback', () => {
  test('is answered with 202 and goes out as a span of its own, without what a person wrote', async () => {
    await using gateway = await startFakeGateway(CONFIG);
    const response = await gateway.post('/v1/feedback', { request_id: 'abc-1', score: 0.25, label: 'wrong', comment: 'secret words' });
    expect([response.status, await response.json()]).toEqual([202, { object: 'feedback', request_id: 'abc-1', recorded: true }]);
    const span = feedbackSpan(gateway);
    expect(Object.fromEntries(span?.attributes ?? [])).toEqual({
      'router.feedback.request_id': 'abc-1', 'router.feedback_score': 0.25, 'router.feedback.label': 'wrong', 'router.feedback.source': 'client', 'llm.key_hash': expect.stringMatching(/^[0-9a-f]{16}$/) as string,
    });
    expect(span?.ends).toBe(1);
    expect(gateway.lines.map((line) => JSON.parse(line) as object)).toContainEqual(expect.objectContaining({ msg: 'feedback', rated_request_id: 'abc-1', score: 0.25, trace_id: span?.traceId }));
    expect(gateway.lines.join('')).not.toContain('secret');
  });

  test('keeps the comment where prompts are stored', async () => {
    await using gateway = await startFakeGateway(`${CONFIG}router_settings:\n  routing_strategy_args: { store_prompts: true }\n`);
    await gateway.post('/v1/feedback', { request_id: 'abc-1', score: 1, comment: 'some words' });
    expect(feedbackSpan(gateway)?.attributes.get('router.feedback.comment')).toBe('some words');
  });

  test.each([
    ['no score', { request_id: 'a' }, 400, 'score'],
    ['a score beyond 1', { request_id: 'a', score: 1.5 }, 400, 'score'],
    ['a score that is a text', { request_id: 'a', score: '1' }, 400, 'score'],
    ['no id', { score: 1 }, 400, 'request_id'],
    ['an id that is none', { request_id: 'a b', score: 1 }, 400, 'request_id'],
    ['an id that is too long', { request_id: 'a'.repeat(129), score: 1 }, 400, 'request_id'],
    ['a label that is a sentence', { request_id: 'a', score: 1, label: 'what Ann wrote' }, 400, 'label'],
    ['a misspelt field', { request_id: 'a', score: 1, coment: 'x' }, 400, 'coment'],
    ['a list', [], 400, 'request_body'],
  ])('with %s is refused by name', async (_, body, status, param) => {
    await using gateway = await startFakeGateway(CONFIG);
    const response = await gateway.post('/v1/feedback', body);
    expect(response.status).toBe(status);
    expect((await response.json() as { error: { param: string } }).error.param).toBe(param);
    expect(feedbackSpan(gateway)).toBeUndefined();
  });

  test('that is larger than any feedback is refused', async () => {
    await using gateway = await startFakeGateway(CONFIG);
    expect((await gateway.post('/v1/feedback', { request_id: 'a', score: 1, comment: 'x'.repeat(20_000) })).status).toBe(413);
  });

  test('needs a key', async () => {
    await using gateway = await startFakeGateway(CONFIG);
    expect((await gateway.post('/v1/feedback', { request_id: 'a', score: 1 }, { headers: { authorization: 'Bearer sk-nobody' } })).status).toBe(401);
    expect((await fetch(`${gateway.url}/v1/feedback`)).status).toBe(405);
  });
});
