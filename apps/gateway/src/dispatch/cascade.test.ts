import { createStrategy, type Candidate, type Cascade, type Strategy, type Verdict } from '@pointsman/routing';
import { eventually } from '@pointsman/testing';
import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { chatConfig, chatReply, chunk, dataOf, entry, FakeProvider, startFakeGateway, usageChunk, type Behaviour, type FakeGateway } from '../fake-gateway.fixture.ts';

const ACCEPTED: Verdict = { escalate: false, reason: 'verifier', gain: 0.05, modelVersion: 'v1' };
const ESCALATED: Verdict = { escalate: true, reason: 'verifier', gain: 0.5, modelVersion: 'v1' };

/** A cascade in the order of the configuration whose verdicts a test writes. */
function cascading(judge: Cascade['judge'], more: Partial<Cascade> = {}): Strategy {
  return {
    name: 'cascading',
    decide: ({ candidates }) => ({
      order: candidates, scores: candidates.map(() => 1), strategy: 'cascading', modelVersion: '', propensity: 1,
      compound: { kind: 'cascade', maxAnswers: 2, holdLength: 10_000, verdictTimeoutMs: 5_000, dearerThan: (by: Candidate) => candidates.slice(candidates.indexOf(by) + 1), judge, ...more },
    }),
  };
}

const answers = (content: string): Behaviour => (call) => call.json(chatReply(content));
const streams = (...pieces: readonly string[]): Behaviour => (call) => call.accept().events(...pieces.map((content) => chunk({ content }))).events(chunk({}, 'stop'), usageChunk(5, 2), '[DONE]').end();

/** The words of a chat stream. */
function wordsOf(stream: string): string {
  return dataOf(stream).map((item) => (item as { choices?: { delta?: JsonObject }[] }).choices?.[0]?.delta?.['content'] ?? '').join('');
}

async function settled(gateway: FakeGateway): Promise<void> {
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  for (const [id, breaker] of gateway.snapshot.breakers) for (const settlement of breaker.settlements) expect(settlement, id).toHaveLength(1);
  for (const span of gateway.spans) for (const child of span.children) expect(child.ends, child.name).toBe(1);
  expect(gateway.metrics.streamsRunning).toBe(0);
}

test('an answer that is good enough is given as it came; nobody else is asked', async () => {
  const [a, b] = [new FakeProvider(answers('four')), new FakeProvider(answers('never'))];
  const seen: unknown[] = [];
  const strategy = cascading((held) => {
    seen.push(held);
    return ACCEPTED;
  });
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy });
  const reply = await gateway.chat();
  expect(await reply.json()).toEqual(chatReply('four', { model: 'chat' }));
  expect(reply.headers.get('x-router-escalated')).toBe('false');
  expect(reply.headers.get('x-router-verdict')).toBe('verifier');
  expect(reply.headers.get('x-litellm-model-id')).toBe('a');
  expect(seen).toMatchObject([{ question: 'hello', answer: 'four', finishReason: 'stop', isToolCall: false, wantsJson: false, by: { id: 'a' }, next: { id: 'b' } }]);
  expect(b.calls).toHaveLength(0);
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 7, costUsd: 25 }]);
  const attributes = gateway.spans[0]?.attributes;
  expect([attributes?.get('router.escalated'), attributes?.get('router.verdict'), attributes?.get('router.verdict_gain'), attributes?.get('router.verifier_version')]).toEqual([false, 'verifier', 0.05, 'v1']);
});

test('an answer that is not is never seen: the dearer one answers, and both calls are paid for', async () => {
  const [a, b] = [new FakeProvider(answers('five')), new FakeProvider(answers('four'))];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => Promise.resolve(ESCALATED)) });
  const reply = await gateway.chat();
  expect(await reply.json()).toEqual(chatReply('four', { model: 'chat' }));
  expect(reply.headers.get('x-router-escalated')).toBe('true');
  expect(reply.headers.get('x-litellm-model-id')).toBe('b');
  expect(reply.headers.get('x-litellm-response-cost')).toBe('50');
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 14, costUsd: 50 }]);
  expect(gateway.attempts).toEqual(['a ok', 'b ok']);
  expect(gateway.record()).toMatchObject({ retries: 0, fallbacks: 0, costUsd: 50 });
  expect(gateway.spans[0]?.attributes.get('router.escalated')).toBe(true);
});

test('a stream is held until the verdict and then released with the chunks it came in', async () => {
  let verdict: (verdict: Verdict) => void = () => undefined;
  const a = new FakeProvider(streams('fo', 'ur'));
  const strategy = cascading(() => new Promise((resolve) => (verdict = resolve)));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy });
  let hasHead = false;
  const pending = gateway.chat({ stream: true }).then((reply) => {
    hasHead = true;
    return reply;
  });
  await eventually(() => expect(gateway.attempts).toEqual(['a ok']));
  expect(hasHead).toBe(false);
  verdict(ACCEPTED);
  const reply = await pending;
  expect(reply.headers.get('content-type')).toContain('text/event-stream');
  expect(reply.headers.get('x-router-escalated')).toBe('false');
  const data = dataOf(await reply.text());
  expect(data.map((item) => (item as { choices?: { delta: JsonObject }[] }).choices?.[0]?.delta['content'])).toEqual(['fo', 'ur', undefined, undefined]);
  expect(data.at(-1)).toBe('[DONE]');
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 7, costUsd: 25 }]);
});

test('after an escalation the client sees the dearer stream alone, as it comes', async () => {
  const a = new FakeProvider(streams('bad'));
  const b = new FakeProvider((call) => void call.accept().events(chunk({ content: 'go' })));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => ESCALATED) });
  const reply = await gateway.chat({ stream: true }); // the head is there while b still speaks
  expect(reply.headers.get('x-router-escalated')).toBe('true');
  b.calls[0]?.events(chunk({ content: 'od' }), chunk({}, 'stop'), usageChunk(5, 2), '[DONE]').end();
  expect(wordsOf(await reply.text())).toBe('good');
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 14, costUsd: 50 }]);
});

test('the first that fails is replaced by the next, whose answer is looked at if somebody dearer is left', async () => {
  const [a, b, c] = [new FakeProvider((call) => call.fail('server_error')), new FakeProvider(answers('b')), new FakeProvider(answers('c'))];
  const judged: string[] = [];
  const strategy = cascading(({ by }) => {
    judged.push(by.id);
    return ESCALATED;
  });
  await using gateway = await startFakeGateway(chatConfig(['a', 'b', 'c']), { providers: { a, b, c }, strategy });
  expect(await (await gateway.chat()).json()).toMatchObject({ choices: [{ message: { content: 'c' } }] });
  expect(judged).toEqual(['b']);
  await settled(gateway);
  expect(gateway.attempts).toEqual(['a server_error', 'b ok', 'c ok']);
});

test('no more answers are looked at than the strategy allows', async () => {
  const [a, b, c] = [new FakeProvider(answers('a')), new FakeProvider(answers('b')), new FakeProvider(answers('c'))];
  const judged: string[] = [];
  const strategy = (maxAnswers: number): Strategy => cascading(({ by }) => {
    judged.push(by.id);
    return ESCALATED;
  }, { maxAnswers });
  for (const [most, given] of [[2, 'b'], [3, 'c']] as const) {
    judged.length = 0;
    await using gateway = await startFakeGateway(chatConfig(['a', 'b', 'c']), { providers: { a, b, c }, strategy: strategy(most) });
    expect(await (await gateway.chat()).json()).toMatchObject({ choices: [{ message: { content: given } }] });
    expect(judged).toEqual(['a', 'b'].slice(0, most - 1));
    await settled(gateway);
    expect(gateway.settled).toEqual([{ totalTokens: 7 * most, costUsd: 25 * most }]);
  }
});

test('a held stream that breaks was never seen: the next one answers, and what was produced is paid for', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ content: 'half an ans' })).fail('truncated'));
  const b = new FakeProvider(streams('whole'));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => ACCEPTED) });
  expect(wordsOf(await (await gateway.chat({ stream: true })).text())).toBe('whole');
  await settled(gateway);
  expect(gateway.attempts).toEqual(['a truncated', 'b ok']);
  expect(gateway.record().usageEstimated).toBe(true);
  expect(gateway.record().costUsd).toBeGreaterThan(25);
});

test.each(['json', 'stream'])('where nobody dearer can answer, the answer at hand is better than none (%s)', async (kind) => {
  const isStream = kind === 'stream';
  const a = new FakeProvider(isStream ? streams('so', ' so') : answers('so so'));
  const b = new FakeProvider((call) => call.fail('overloaded'));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => ESCALATED) });
  const reply = await gateway.chat({ stream: isStream });
  expect(reply.status).toBe(200);
  expect(reply.headers.get('x-router-verdict')).toBe('escalation_failed');
  expect(reply.headers.get('x-litellm-model-id')).toBe('a');
  const text = await reply.text();
  expect(isStream ? wordsOf(text) : (JSON.parse(text) as { choices: { message: JsonObject }[] }).choices[0]?.message['content']).toBe('so so');
  await settled(gateway);
  expect(gateway.attempts).toEqual(['a ok', 'b overloaded']);
  expect(gateway.record().error).toBeUndefined();
});

test('past the deadline of the dearer call the answer at hand is given', async () => {
  const [a, b] = [new FakeProvider(answers('in time')), new FakeProvider((call) => void call.accept())];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => ESCALATED) });
  const reply = await gateway.chat({ timeout: 0.2 });
  expect(await reply.json()).toMatchObject({ choices: [{ message: { content: 'in time' } }] });
  await settled(gateway);
  expect(b.calls[0]?.cancels).toBe(1);
});

test('a client that leaves while its answer is held stops the call and pays for what was said', async () => {
  const a = new FakeProvider((call) => void call.accept().events(chunk({ content: 'half' })));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy: cascading(() => ACCEPTED) });
  const client = new AbortController();
  const pending = gateway.chat({ stream: true }, { signal: client.signal });
  await eventually(() => expect(a.calls).toHaveLength(1));
  client.abort();
  await expect(pending).rejects.toThrow();
  await eventually(() => expect(a.calls[0]?.cancels).toBe(1));
  await settled(gateway);
  expect(gateway.record()).toMatchObject({ clientGone: true });
  expect(gateway.record().usage?.completionTokens).toBeGreaterThan(0);
});

test('a client that leaves while the dearer one speaks stops that call; both are paid for', async () => {
  const [a, b] = [new FakeProvider(answers('five')), new FakeProvider((call) => void call.accept())];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => ESCALATED) });
  const client = new AbortController();
  const pending = gateway.chat({}, { signal: client.signal });
  await eventually(() => expect(b.calls).toHaveLength(1));
  client.abort();
  await expect(pending).rejects.toThrow();
  await eventually(() => expect(b.calls[0]?.cancels).toBe(1));
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 7, costUsd: 25 }]);
});

test('a client that leaves while the verdict is waited for asks nobody else', async () => {
  let verdict: (verdict: Verdict) => void = () => undefined;
  const [a, b] = [new FakeProvider(answers('five')), new FakeProvider(answers('four'))];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: cascading(() => new Promise((resolve) => (verdict = resolve))) });
  const client = new AbortController();
  const pending = gateway.chat({}, { signal: client.signal });
  await eventually(() => expect(gateway.attempts).toEqual(['a ok']));
  client.abort();
  await expect(pending).rejects.toThrow();
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  verdict(ESCALATED);
  await eventually(() => expect(gateway.spans[0]?.children.every(({ ends }) => ends === 1)).toBe(true));
  await settled(gateway);
  expect(b.calls).toHaveLength(0);
});

test('a stream longer than what is held back goes on its way without a verdict', async () => {
  const pieces = ['a'.repeat(400), 'b'.repeat(400), 'c'.repeat(400)];
  const a = new FakeProvider((call) => {
    call.accept();
    for (const content of pieces) call.events(chunk({ content }));
    call.events(chunk({}, 'stop'), '[DONE]').end();
  });
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy: cascading(() => ESCALATED, { holdLength: 600 }) });
  const reply = await gateway.chat({ stream: true });
  expect(reply.headers.get('x-router-verdict')).toBe('too_long');
  expect(wordsOf(await reply.text())).toBe(pieces.join(''));
  await settled(gateway);
});

test('a long answer is released no faster than the client reads', async () => {
  const pieces = Array.from({ length: 400 }, (_, index) => `${String(index)} ${'x'.repeat(40_000)}`);
  const a = new FakeProvider((call) => {
    call.accept();
    for (const content of pieces) call.events(chunk({ content }));
    call.events(chunk({}, 'stop'), '[DONE]').end();
  });
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy: cascading(() => ACCEPTED, { holdLength: 1e9 }) });
  const reply = await gateway.chat({ stream: true });
  // Not all of it fits into the buffers on the way: the request is open until somebody reads.
  expect(gateway.context.gate.running).toBe(1);
  expect(gateway.settled).toEqual([]);
  expect(wordsOf(await reply.text())).toBe(pieces.join(''));
  await settled(gateway);
});

test.each<[string, Cascade['judge']]>([
  ['throws', () => { throw new Error('broken'); }], ['rejects', () => Promise.reject(new Error('broken'))], ['never answers', () => new Promise(() => undefined)],
])('a verifier that %s accepts: an answer is there', async (_, judge) => {
  const a = new FakeProvider(answers('four'));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy: cascading(judge, { verdictTimeoutMs: 20 }) });
  const reply = await gateway.chat();
  expect(reply.headers.get('x-router-verdict')).toBe('verdict_failed');
  expect(await reply.json()).toMatchObject({ choices: [{ message: { content: 'four' } }] });
  await settled(gateway);
});

test('a call of tools is told to be one', async () => {
  const toolCall: JsonObject = { role: 'assistant', content: null, tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }] };
  const a = new FakeProvider((call) => call.json({ ...chatReply(''), choices: [{ index: 0, message: toolCall, finish_reason: 'tool_calls' }] }));
  const strategy = cascading(({ isToolCall }) => (isToolCall ? { ...ACCEPTED, reason: 'tool_call' } : ESCALATED));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy });
  expect((await gateway.chat()).headers.get('x-router-verdict')).toBe('tool_call');
});

test.each<[string, JsonObject]>([
  ['/v1/messages', { model: 'chat', max_tokens: 10, messages: [{ role: 'user', content: 'hello' }] }],
  ['/v1/responses', { model: 'chat', input: 'hello' }],
  ['/v1/chat/completions', { model: 'chat', messages: [{ role: 'user', content: 'hello' }] }],
])('%s: the words of an answer are read in the client\'s format, streaming and not', async (path, body) => {
  for (const stream of [false, true]) {
    const a = new FakeProvider(stream ? streams('wro', 'ng') : answers('wrong'));
    const b = new FakeProvider(stream ? streams('fo', 'ur') : answers('four'));
    const seen: string[] = [];
    const strategy = cascading(({ answer }) => {
      seen.push(answer);
      return ESCALATED;
    });
    await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy });
    const text = await (await gateway.post(path, { ...body, stream })).text();
    expect(seen).toEqual(['wrong']);
    expect(text).not.toContain('wro');
    expect(text).toContain(stream ? 'ur' : 'four');
    await settled(gateway);
    expect(gateway.record()).toMatchObject({ costUsd: 50 });
  }
});

test('embeddings and requests for several answers are no question for a cascade', async () => {
  const a = new FakeProvider((call) => call.json({ ...chatReply('one'), choices: [0, 1].map((index) => ({ index, message: { role: 'assistant', content: 'one' }, finish_reason: 'stop' })) }));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a }, strategy: cascading(() => ESCALATED) });
  const reply = await gateway.chat({ n: 2 });
  expect(reply.headers.get('x-router-escalated')).toBeNull();
  expect(reply.status).toBe(200);
});

test('a cascade that fails altogether falls back to another group like any request', async () => {
  const fails: Behaviour = (call) => call.fail('server_error');
  const providers = { a: new FakeProvider(fails), b: new FakeProvider(fails), c: new FakeProvider(answers('rescued')) };
  const yaml = `model_list:\n${entry('chat', 'a')}${entry('chat', 'b')}${entry('other', 'c')}router_settings: { fallbacks: [{ chat: [other] }], num_retries: 1 }\n`;
  await using gateway = await startFakeGateway(yaml, { providers, strategy: cascading(() => ESCALATED) });
  const reply = await gateway.chat();
  expect(await reply.json()).toMatchObject({ choices: [{ message: { content: 'rescued' } }] });
  expect(reply.headers.get('x-router-verdict')).toBeNull(); // the group has one deployment: nobody dearer
  expect(gateway.fallbacks).toEqual(['chat > other']);
});

test('llmrouter-automix without a verifier escalates a refusal and keeps a plain answer', async () => {
  const strategy = await createStrategy('llmrouter-automix', { random: () => 0, now: () => 0, args: {} });
  // The fake gateway knows no prices.
  const priced: Strategy = { name: strategy.name, decide: (input) => strategy.decide({ ...input, candidates: input.candidates.map((candidate, index) => Object.assign(candidate, { inputCostPerToken: 10 ** index, outputCostPerToken: 10 ** index })) }) };
  let words = 'I\'m sorry, but I can\'t help with that.';
  const [a, b] = [new FakeProvider((call) => call.json(chatReply(words))), new FakeProvider(answers('Here it is.'))];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b }, strategy: priced });
  const refused = await gateway.chat();
  expect([refused.headers.get('x-router-strategy'), refused.headers.get('x-router-verdict'), refused.headers.get('x-router-escalated')]).toEqual(['llmrouter-automix', 'refusal', 'true']);
  words = 'Four.';
  const plain = await gateway.chat();
  expect([plain.headers.get('x-router-verdict'), plain.headers.get('x-litellm-model-id')]).toEqual(['plain', 'a']);
});
