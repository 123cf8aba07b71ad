import type { WireFormat } from '@pointsman/providers';
import type { JsonObject } from '@pointsman/schemas';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { chatReply, chunk, dataOf, FakeProvider, type FakeCall } from '../fake-gateway.fixture.ts';
import { Attempt, type AttemptListener } from './attempt.ts';
import { PassThroughReply, type ReplyShape } from './reply-shape.ts';

/** Writes down what an attempt tells, and answers `onText` as a client of the given speed would. */
class Listener implements AttemptListener {
  readonly told: string[] = [];
  text = '';
  fast = true;

  onReply(_attempt: Attempt, text: string): void {
    this.told.push('reply');
    this.text += text;
  }

  onText(_attempt: Attempt, text: string): boolean {
    this.told.push('text');
    this.text += text;
    return this.fast;
  }

  onComplete(_attempt: Attempt, text: string): void {
    this.told.push('complete');
    this.text += text;
  }

  onFailed(_attempt: Attempt, error: { readonly fault: string; readonly code: string }): void {
    this.told.push(`failed ${error.fault}`);
  }

  /** How often it was told that the attempt is over. */
  get endings(): readonly string[] {
    return this.told.filter((what) => what !== 'text');
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

function begin({ stream = true, format = 'chat', choices = 1, shape }: { stream?: boolean; format?: WireFormat; choices?: number; shape?: ReplyShape } = {}): { attempt: Attempt; call: FakeCall; listener: Listener } {
  const provider = new FakeProvider(() => undefined);
  const listener = new Listener();
  const attempt = new Attempt({
    provider, format, listener, choices, collectText: false,
    request: { format, body: {}, rawBody: undefined, stream, headers: {}, headersTimeoutMs: 1_000, idleTimeoutMs: 1_000 },
    shape: shape ?? new PassThroughReply({ format, requestedModel: 'chat', wantsUsage: false, requestId: 'r' }),
  });
  attempt.start();
  const [call] = provider.calls;
  if (call === undefined) throw new Error('the provider was not called');
  return { attempt, call: call.accept(), listener };
}

const ROLE = chunk({ role: 'assistant', content: '' });
const HELLO = chunk({ content: 'Hello' });
const STOP = chunk({}, 'stop');

test('nothing reaches the client before the first content, then all of it at once and in order', () => {
  const { attempt, call, listener } = begin();
  call.events(ROLE);
  expect(listener.told).toEqual([]);
  expect(attempt.committed).toBe(false);
  call.events(HELLO);
  expect(listener.told).toEqual(['text']);
  expect(attempt.committed).toBe(true);
  expect(dataOf(listener.text)).toEqual([{ ...ROLE, model: 'chat' }, { ...HELLO, model: 'chat' }]);
});

test('after the first content every read goes out as it comes', () => {
  const { call, listener } = begin();
  call.events(HELLO).events(chunk({ content: ' you' })).events(chunk({ content: '!' }));
  expect(listener.told).toEqual(['text', 'text', 'text']);
});

test('a complete stream ends with the reason that the provider sent, and [DONE]', () => {
  const { attempt, call, listener } = begin();
  call.events(ROLE, HELLO).events(chunk({}, 'length'), '[DONE]').end();
  expect(listener.endings).toEqual(['complete']);
  expect(dataOf(listener.text).at(-1)).toBe('[DONE]');
  expect(attempt.finishReason).toBe('length');
  expect(attempt.responseId).toBe('chatcmpl-1');
});

test('an empty answer with a reason is an answer', () => {
  const { call, listener } = begin();
  call.events(ROLE, chunk({}, 'content_filter'), '[DONE]').end();
  expect(listener.endings).toEqual(['complete']);
  expect(listener.text).toContain('content_filter');
});

test('a provider that sends no [DONE] but a reason for every choice was complete', () => {
  const { call, listener } = begin();
  call.events(HELLO, STOP).end();
  expect(listener.endings).toEqual(['complete']);
});

test('all choices that were asked for must finish', () => {
  const { call, listener } = begin({ choices: 2 });
  call.events(HELLO, STOP, '[DONE]');
  expect(listener.endings).toEqual(['failed truncated']);
});

test.each<[string, (call: FakeCall) => void, string]>([
  ['it ends without an event', (call) => call.end(), 'bad_reply'],
  ['it says [DONE] at once', (call) => call.events('[DONE]'), 'bad_reply'],
  ['it ends after the role', (call) => call.events(ROLE).end(), 'bad_reply'],
  ['a broken connection', (call) => call.events(ROLE).fail('truncated'), 'truncated'],
  ['silence', (call) => call.events(ROLE).fail('timeout'), 'timeout'],
  ['an event that is not JSON', (call) => call.events(ROLE).events('{"choices":[{'), 'bad_reply'],
  ['an event that is no chunk', (call) => call.events('{"hello":1}'), 'bad_reply'],
  ['an error inside the stream', (call) => call.events({ error: { message: 'overloaded', code: 'busy' } }), 'stream_error'],
  ['a JSON reply instead of a stream', (call) => call.json(chatReply('hi')), 'bad_reply'],
])('before the first content, %s is a failure of which the client has seen nothing', (_name, play, fault) => {
  const { attempt, call, listener } = begin();
  play(call);
  expect(listener.told).toEqual([`failed ${fault}`]);
  expect(listener.text).toBe('');
  expect(attempt.committed).toBe(false);
  expect(call.cancels).toBe(1);
});

test.each<[string, (call: FakeCall) => void, string]>([
  ['an end without a reason', (call) => call.end(), 'truncated'],
  ['[DONE] without a reason', (call) => call.events('[DONE]'), 'truncated'],
  ['a broken connection', (call) => call.fail('truncated'), 'truncated'],
  ['silence', (call) => call.fail('timeout'), 'timeout'],
  ['an event that is not JSON', (call) => call.events('<html>'), 'bad_reply'],
  ['an error inside the stream', (call) => call.events({ error: { message: 'overloaded' } }), 'stream_error'],
])('after content, %s is a failure and never an end', (_name, play, fault) => {
  const { attempt, call, listener } = begin();
  call.events(HELLO);
  play(call);
  expect(listener.endings).toEqual([`failed ${fault}`]);
  expect(listener.text).not.toContain('[DONE]');
  expect(attempt.committed).toBe(true);
});

test('what one read brought before it broke still reaches the client', () => {
  const { call, listener } = begin();
  call.events(HELLO, chunk({ content: ' you' }), 'garbage', chunk({ content: 'never' }));
  expect(listener.told).toEqual(['text', 'failed bad_reply']);
  expect(listener.text).toContain(' you');
  expect(listener.text).not.toContain('never');
});

test('a stream of megabytes without any content is refused instead of kept', () => {
  const { call, listener } = begin();
  const padding = { ...ROLE, padding: 'x'.repeat(100_000) };
  for (let read = 0; read < 12; read += 1) call.events(padding);
  expect(listener.told).toEqual(['failed bad_reply']);
  expect(call.cancels).toBe(1);
});

test('events after [DONE] are not part of the reply, in the same read or a later one', () => {
  const { call, listener } = begin();
  call.events(HELLO, STOP, '[DONE]', chunk({ content: 'more' }), { error: { message: 'late' } }).events(chunk({ content: 'even more' })).end();
  expect(listener.endings).toEqual(['complete']);
  expect(listener.text).not.toContain('more');
});

test('a connection that stays open after [DONE] is left behind a second later; one that ends is not cancelled', () => {
  const lingering = begin();
  lingering.call.events(HELLO, STOP, '[DONE]');
  expect(lingering.listener.endings).toEqual(['complete']);
  vi.advanceTimersByTime(999);
  expect(lingering.call.cancels).toBe(0);
  vi.advanceTimersByTime(1);
  expect(lingering.call.cancels).toBe(1);

  const clean = begin();
  clean.call.events(HELLO, STOP, '[DONE]').end();
  const short = begin();
  short.call.events(HELLO, STOP).end();
  vi.advanceTimersByTime(10_000);
  expect([clean.call.cancels, short.call.cancels]).toEqual([0, 0]);
});

test('a connection that breaks after the last word changes nothing', () => {
  const { call, listener } = begin();
  call.events(HELLO, STOP).fail('truncated');
  expect(listener.endings).toEqual(['complete']);
  call.fail('truncated');
  expect(listener.endings).toEqual(['complete']);
});

test('a connection that breaks for another reason than its end is a failure, also after a reason to stop', () => {
  const { call, listener } = begin();
  call.events(HELLO, STOP).fail('timeout');
  expect(listener.endings).toEqual(['failed timeout']);
});

test('a slow client pauses the provider, and resume lets it go on', () => {
  const { attempt, call, listener } = begin();
  listener.fast = false;
  call.events(HELLO);
  expect(call.pauses).toBe(1);
  attempt.resume();
  expect(call.resumes).toBe(1);
  listener.fast = true;
  call.events(HELLO);
  expect(call.pauses).toBe(1);
});

test('after cancel the provider is stopped once and nobody is told anything', () => {
  const { attempt, call, listener } = begin();
  attempt.cancel();
  attempt.cancel();
  call.events(HELLO, STOP, '[DONE]').end();
  call.fail('timeout');
  expect(call.cancels).toBe(1);
  expect(listener.told).toEqual([]);
});

test.each<[string, (call: FakeCall) => void]>([
  ['success', (call) => call.events(HELLO, STOP, '[DONE]')],
  ['failure', (call) => call.events(HELLO).fail('timeout')],
  ['failure before content', (call) => call.fail('unreachable')],
])('however often a provider ends, its listener hears of it once: %s', (_name, play) => {
  const { call, listener } = begin();
  play(call);
  call.end();
  call.fail('server_error');
  call.events({ error: { message: 'x' } }).json(chatReply('late'));
  expect(listener.endings).toHaveLength(1);
});

test('a JSON reply is told once, with its usage and id', () => {
  const { attempt, call, listener } = begin({ stream: false });
  call.json(chatReply('hi'));
  expect(listener.told).toEqual(['reply']);
  expect(JSON.parse(listener.text)).toEqual(chatReply('hi', { model: 'chat' }));
  expect(attempt.usage?.totalTokens).toBe(7);
  expect(attempt.responseId).toBe('chatcmpl-1');
});

test.each<[string, (call: FakeCall) => void]>([
  ['an end without a reply', (call) => call.end()],
  ['a stream that was not asked for', (call) => call.events(HELLO, STOP, '[DONE]')],
])('where one JSON reply was asked for, %s is a failure', (_name, play) => {
  const { call, listener } = begin({ stream: false });
  play(call);
  expect(listener.told).toEqual(['failed bad_reply']);
});

test('a reply that cannot be translated is the provider\'s failure, and its text stays inside', () => {
  const shape: ReplyShape = {
    json: () => { throw new TypeError('secret of the reply'); }, event: () => { throw new TypeError('secret of the reply'); }, finish: () => '', fail: () => '',
  };
  const whole = begin({ stream: false, shape });
  whole.call.json(chatReply('hi'));
  expect(whole.listener.told).toEqual(['failed bad_reply']);
  const streamed = begin({ shape });
  streamed.call.events(HELLO);
  expect(streamed.listener.told).toEqual(['failed bad_reply']);
});

test('the last usage that a stream reports counts', () => {
  const { attempt, call } = begin();
  const usage = (total: number): JsonObject => ({ prompt_tokens: 1, completion_tokens: total - 1, total_tokens: total });
  call.events(HELLO).events({ ...STOP, usage: usage(3) }).events({ choices: [], usage: usage(5) }, '[DONE]');
  expect(attempt.usage).toMatchObject({ promptTokens: 1, completionTokens: 4, totalTokens: 5 });
});
