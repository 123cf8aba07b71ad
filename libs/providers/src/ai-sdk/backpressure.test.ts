import { sse, startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { normaliseChat, providerRequest, RecordingSink } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { geminiReply, nativeDeployment } from './fixtures/native-deployment.ts';
import { googleEvents } from './fixtures/sse-bytes.ts';
import { createAiSdkProvider } from './index.ts';

test('a paused stream stops the provider from sending, and resume brings all of the rest', async () => {
  const piece = { candidates: [{ content: { role: 'model', parts: [{ text: 'x'.repeat(64 * 1024) }] } }] };
  const pieces = 400;
  await using upstream = await startScriptedUpstream({ reply: { ...sse([], { done: false }), steps: [...Array.from({ length: pieces }, () => googleEvents([piece])), googleEvents([geminiReply([{ text: '!' }])])] } });
  const provider = await createAiSdkProvider(nativeDeployment('gemini', 'gemini-2.5-flash', upstream.url), { pools: new UpstreamPools(), env: {} });
  const sink = new RecordingSink();
  // Longer than the idle timeout: the silence of a paused stream is ours, not the provider's.
  const call = provider.start(providerRequest({ model: 'm', stream: true, messages: [{ role: 'user', content: 'hi' }] }, { idleTimeoutMs: 1000 }), sink);
  await sink.when(() => sink.status !== undefined);
  call.pause();
  await expect.poll(() => upstream.calls[0]?.blocked, { timeout: 5000 }).toBe(true);
  const heard = sink.events.length;
  const sent = upstream.calls[0]?.bytesSent ?? 0;
  expect(sent).toBeLessThan(pieces * 64 * 1024);
  // Time is the subject here, not a way to wait for something.
  await new Promise((resolve) => { setTimeout(resolve, 1200); });
  expect(upstream.calls[0]?.bytesSent).toBe(sent);
  expect(sink.events.length).toBeLessThanOrEqual(heard + 2);
  call.resume();
  await sink.settled;
  expect(sink.error).toBeUndefined();
  expect(normaliseChat(sink).choices[0]?.content).toHaveLength(pieces * 64 * 1024 + 1);
  provider.close();
});
