import type { PromptFeatures, Strategy } from '@pointsman/routing';
import { eventually } from '@pointsman/testing';
import { describe, expect, test } from 'vitest';
import { chatReply, entry, FakeProvider, startFakeGateway, type FakeGateway, type FakeSpan } from '../fake-gateway.fixture.ts';
import { encodeEmbedding, RecentPrompts } from './routing-event.ts';

const CONFIG = `model_list:\n${entry('chat', 'chat-1')}${entry('chat', 'chat-2')}`;
const EMBEDDER = { name: 'static', sha256: 'ab'.repeat(32), dimensions: 3 } as const;

function featuresOf(prompt: string): PromptFeatures {
  return { text: Float32Array.of(prompt.length, 0.5), ngramIndex: Int32Array.of(3, 9), ngramValue: Float32Array.of(1, 1.5), embedding: Float32Array.of(1, -0.5, prompt.length) };
}

/** Reads the prompt, as strategies that learned do. */
const reading = (kept?: { readonly ngrams: boolean; readonly prompt: boolean }): Strategy => ({
  name: 'reading',
  decide: ({ candidates, prompt }) => ({
    order: candidates, scores: candidates.map(() => 1), strategy: 'reading', modelVersion: 'v1', propensity: 1, features: featuresOf(prompt()), embedder: EMBEDDER,
    ...(kept === undefined ? {} : { kept: { ngrams: kept.ngrams, prompt: kept.prompt ? prompt() : undefined } }),
  }),
});

const answering = (content: string, completionTokens: number): FakeProvider => new FakeProvider((call) => call.json(chatReply(content, { usage: { prompt_tokens: 5, completion_tokens: completionTokens, total_tokens: 5 + completionTokens } })));
const failing = new FakeProvider((call) => call.fail('bad_request', { message: 'no' }));

function start(strategy: Strategy | undefined, provider = answering('hi', 2)): Promise<FakeGateway> {
  return startFakeGateway(CONFIG, { providers: { 'chat-1': provider, 'chat-2': provider }, ...(strategy === undefined ? {} : { strategy }) });
}
const ended = (gateway: FakeGateway, count: number): Promise<readonly FakeSpan[]> => eventually(() => {
  expect(gateway.spans.filter(({ ends }) => ends === 1)).toHaveLength(count);
  return gateway.spans;
});
const said = (span: FakeSpan | undefined, prefix: string): Record<string, unknown> => Object.fromEntries([...span?.attributes ?? []].filter(([key]) => key.startsWith(prefix)));

describe('the span of a request', () => {
  test('carries the features that a strategy decided by, and of the prompt nothing else', async () => {
    await using gateway = await start(reading());
    await (await gateway.chat({ messages: [{ role: 'user', content: 'secret words' }] })).text();
    const [span] = await ended(gateway, 1);
    expect(said(span, 'router.')).toMatchObject({ 'router.embedder': `static/3/${EMBEDDER.sha256}`, 'router.embedding': 'ADwAuABK', 'router.features': [12, 0.5], 'router.strategy': 'reading' });
    expect(Object.keys(said(span, 'router.')).filter((key) => /ngram|prompt|signal/.test(key))).toEqual([]);
    // The decision's own span need not repeat them.
    expect(span?.children.flatMap(({ attributes }) => [...attributes.keys()])).not.toContain('router.embedding');
    expect(JSON.stringify([gateway.spans, gateway.spans.map(({ attributes }) => [...attributes]), gateway.lines])).not.toContain('secret');
  });

  test('carries n-grams and the prompt where the configuration keeps them', async () => {
    await using gateway = await start(reading({ ngrams: true, prompt: true }));
    await (await gateway.chat({ messages: [{ role: 'user', content: 'secret words' }] })).text();
    const [span] = await ended(gateway, 1);
    expect(said(span, 'router.')).toMatchObject({ 'router.ngram_index': [3, 9], 'router.ngram_value': [1, 1.5], 'router.prompt': 'secret words' });
  });

  test('has no features where no strategy read the prompt', async () => {
    await using gateway = await start(undefined);
    await (await gateway.chat()).text();
    const [span] = await ended(gateway, 1);
    expect(said(span, 'router.embed')).toEqual({});
    expect(said(span, 'router.features')).toEqual({});
  });

  test('says that the same caller asked the same again, and not that another prompt came', async () => {
    await using gateway = await start(reading());
    const ids: (string | null)[] = [];
    for (const content of ['a prompt made for this test', 'another', 'a prompt made for this test']) {
      const response = await gateway.chat({ messages: [{ role: 'user', content }] });
      await response.text();
      ids.push(response.headers.get('x-request-id'));
    }
    const spans = await ended(gateway, 3);
    expect(spans.map((span) => said(span, 'router.signal.'))).toEqual([{}, {}, { 'router.signal.retry_of': ids[0] }]);
  });

  test('says that the answer was empty, or an error', async () => {
    await using empty = await start(undefined, answering('', 0));
    await (await empty.chat()).text();
    expect(said((await ended(empty, 1))[0], 'router.signal.')).toEqual({ 'router.signal.empty': true });
    await using wrong = await start(undefined, failing);
    await (await wrong.chat()).text();
    expect(said((await ended(wrong, 1))[0], 'router.signal.')).toEqual({ 'router.signal.error': true });
  });

  test('says that the client left', async () => {
    const provider = new FakeProvider(() => undefined);
    await using gateway = await start(undefined, provider);
    const client = new AbortController();
    const reply = gateway.chat({}, { signal: client.signal });
    await eventually(() => expect(provider.calls).toHaveLength(1));
    client.abort();
    await expect(reply).rejects.toThrow();
    expect(said((await ended(gateway, 1))[0], 'router.signal.')).toEqual({ 'router.signal.aborted': true });
  });
});

describe('prompts that were asked lately', () => {
  test('are known for a minute, per caller', () => {
    const recent = new RecentPrompts();
    expect(recent.ask('a', featuresOf('one'), 'r1', 0)).toBeUndefined();
    expect(recent.ask('b', featuresOf('one'), 'r2', 0)).toBeUndefined();
    expect(recent.ask('a', featuresOf('one'), 'r3', 60_000)).toBe('r1');
    expect(recent.ask('a', featuresOf('one'), 'r4', 120_001)).toBeUndefined();
  });

  test('are bounded: the least recent give way', () => {
    const recent = new RecentPrompts(2);
    for (const [index, prompt] of ['x', 'xx', 'x', 'xxx'].entries()) recent.ask('a', featuresOf(prompt), `r${String(index)}`, 0);
    expect(recent.size).toBe(2);
    expect(recent.ask('a', featuresOf('x'), 'r', 0)).toBe('r2');
    expect(recent.ask('a', featuresOf('xx'), 'r', 0)).toBeUndefined();
  });
});

test('an embedding is base64 of float16, little endian', () => {
  expect(encodeEmbedding(Float32Array.of(1, 0.1))).toBe('ADxmLg==');
});
