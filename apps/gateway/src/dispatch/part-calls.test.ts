import type { Candidate, Decomposition, Strategy } from '@pointsman/routing';
import { eventually } from '@pointsman/testing';
import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { chatConfig, chatReply, chunk, dataOf, FakeProvider, startFakeGateway, usageChunk, type FakeCall, type FakeGateway } from '../fake-gateway.fixture.ts';

const PARTS = ['Who wrote Faust?', 'Where is Weimar?'];

/** Takes every question apart; parts go to the second candidate, the first one answers in the end. */
function decomposing(more: Partial<Decomposition> = {}, planner?: (candidates: readonly Candidate[]) => Candidate | undefined): Strategy {
  return {
    name: 'decomposing',
    decide: ({ candidates }) => ({
      order: candidates.toReversed(), scores: candidates.map(() => 1), strategy: 'decomposing', modelVersion: '', propensity: 1,
      compound: { kind: 'decomposition', aggregators: candidates, maxParts: 4, maxCalls: 6, partsTimeoutMs: 5_000, maxCostUsd: undefined, ...(planner === undefined ? { parts: PARTS } : { planner: planner(candidates) }), ...more },
    }),
  };
}

function askedOf({ request }: FakeCall): string {
  const messages = request.body['messages'] as { content: string }[];
  return messages.map(({ content }) => content).join('\n');
}

const answering = (call: FakeCall): void => call.json(chatReply(`answer to: ${askedOf(call).slice(0, 40)}`));
const streaming = (call: FakeCall): void => call.accept().events(chunk({ content: 'to' })).events(chunk({ content: 'gether' }), chunk({}, 'stop'), usageChunk(5, 2), '[DONE]').end();

async function settled(gateway: FakeGateway): Promise<void> {
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  for (const [id, breaker] of gateway.snapshot.breakers) for (const settlement of breaker.settlements) expect(settlement, id).toHaveLength(1);
  await eventually(() => {
    for (const span of gateway.spans) for (const child of span.children) expect(child.ends, child.name).toBe(1);
  });
}

test('parts are answered by those they are routed to, the client gets the stream of the one that puts them together, and all of it is paid for', async () => {
  const [best, worker] = [new FakeProvider(streaming), new FakeProvider(answering)];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing() });
  const reply = await gateway.chat({ stream: true });
  expect(reply.headers.get('x-router-parts')).toBe('2');
  expect(reply.headers.get('x-litellm-model-id')).toBe('best');
  const data = dataOf(await reply.text());
  expect(data.map((item) => (item as { choices?: { delta: JsonObject }[] }).choices?.[0]?.delta['content'])).toEqual(['to', 'gether', undefined, undefined]);
  expect(worker.calls.map(askedOf)).toEqual(PARTS);
  expect(worker.calls.every(({ request }) => !request.stream)).toBe(true);
  const [asked] = best.calls.map(askedOf);
  expect(asked).toMatch(/^hello\n/);
  for (const part of PARTS) expect(asked).toContain(`answer to: ${part}`);
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 21, costUsd: 75 }]);
  expect(gateway.attempts).toEqual(['worker ok', 'worker ok', 'best ok']);
  expect(gateway.spans[0]?.attributes.get('router.parts_answered')).toBe(2);
});

test.each<[string, JsonObject]>([
  ['/v1/messages', { model: 'chat', max_tokens: 10, messages: [{ role: 'user', content: [{ type: 'text', text: 'hello' }] }] }], ['/v1/responses', { model: 'chat', input: 'hello' }],
])('%s: the one that puts the parts together is asked in the client\'s format', async (path, body) => {
  const [best, worker] = [new FakeProvider((call) => call.json(chatReply('together'))), new FakeProvider(answering)];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing() });
  expect(await (await gateway.post(path, body)).text()).toContain('together');
  expect(JSON.stringify(best.calls[0]?.request.body)).toContain('answer to: Where is Weimar?');
});

test('a planner finds the parts', async () => {
  const [best, worker] = [new FakeProvider((call, index) => call.json(chatReply(index === 0 ? JSON.stringify({ parts: PARTS }) : 'together'))), new FakeProvider(answering)];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing({}, ([first]) => first) });
  expect(await (await gateway.chat()).json()).toMatchObject({ choices: [{ message: { content: 'together' } }] });
  expect(best.calls.map(askedOf)[0]).toContain('<question>\nhello\n</question>');
  expect(worker.calls.map(askedOf)).toEqual(PARTS);
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 28, costUsd: 100 }]);
});

test.each(['no JSON at all', '{"parts": []}', '{"parts": ["only one"]}'])('a planner that says %s leaves the question to the model that the strategy chose', async (plan) => {
  const [best, worker] = [new FakeProvider((call) => call.json(chatReply(plan))), new FakeProvider((call) => call.json(chatReply('alone')))];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing({}, ([first]) => first) });
  const reply = await gateway.chat();
  expect(await reply.json()).toMatchObject({ choices: [{ message: { content: 'alone' } }] });
  expect(worker.calls.map(askedOf)).toEqual(['hello']);
  expect(best.calls).toHaveLength(1);
  await settled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 14, costUsd: 50 }]);
});

test('a planner that fails leaves the question whole', async () => {
  const [best, worker] = [new FakeProvider((call) => call.fail('server_error')), new FakeProvider((call) => call.json(chatReply('alone')))];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker'], 'router_settings: { num_retries: 0 }\n'), { providers: { best, worker }, strategy: decomposing({}, ([first]) => first) });
  expect(await (await gateway.chat()).json()).toMatchObject({ choices: [{ message: { content: 'alone' } }] });
});

test('a part that is not there in time is left out; a part that fails is retried like any call', async () => {
  // The retry of the first part goes to the next of its order: the one that also puts the parts together.
  const best = new FakeProvider((call) => (call.request.stream ? streaming(call) : call.json(chatReply('rescued'))));
  const worker = new FakeProvider((call, index) => (index === 0 ? call.fail('overloaded') : void call.accept()));
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing({ partsTimeoutMs: 150 }) });
  const reply = await gateway.chat({ stream: true });
  expect(reply.headers.get('x-router-parts')).toBe('1');
  expect(await reply.text()).toContain('gether');
  expect(worker.calls[1]?.cancels).toBe(1);
  expect(askedOf(best.calls[1] as FakeCall)).toContain('<answer>rescued</answer>');
  expect(askedOf(best.calls[1] as FakeCall)).toContain('(not answered)');
  await settled(gateway);
});

test('no more is asked than the calls and the money allow', async () => {
  const [best, worker] = [new FakeProvider((call) => call.json(chatReply('together'))), new FakeProvider(answering)];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing({ maxCalls: 2 }) });
  await gateway.chat();
  expect(worker.calls).toHaveLength(1);
  expect(askedOf(best.calls[0] as FakeCall)).toContain('(not answered)');
  const priced = decomposing({ maxCostUsd: 1 });
  const dear: Strategy = { name: priced.name, decide: (input) => priced.decide({ ...input, candidates: input.candidates.map((candidate) => Object.assign(candidate, { outputCostPerToken: 1 })) }) };
  const alone = new FakeProvider((call) => call.json(chatReply('alone')));
  await using poor = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker: alone }, strategy: dear });
  await poor.chat();
  expect(alone.calls.map(askedOf)).toEqual(['hello']);
});

test('a client that leaves stops all parts', async () => {
  const [best, worker] = [new FakeProvider(streaming), new FakeProvider((call) => void call.accept())];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing() });
  const client = new AbortController();
  const pending = gateway.chat({}, { signal: client.signal });
  await eventually(() => expect(worker.calls).toHaveLength(2));
  client.abort();
  await expect(pending).rejects.toThrow();
  await eventually(() => expect(worker.calls.map(({ cancels }) => cancels)).toEqual([1, 1]));
  await settled(gateway);
  expect(best.calls).toHaveLength(0);
  expect(gateway.record()).toMatchObject({ clientGone: true });
});

test('the deadline of the request ends parts as well', async () => {
  const [best, worker] = [new FakeProvider(streaming), new FakeProvider((call) => void call.accept())];
  await using gateway = await startFakeGateway(chatConfig(['best', 'worker']), { providers: { best, worker }, strategy: decomposing() });
  const reply = await gateway.chat({ timeout: 0.1 });
  expect(reply.status).toBe(504);
  await settled(gateway);
  expect(worker.calls.map(({ cancels }) => cancels)).toEqual([1, 1]);
});
