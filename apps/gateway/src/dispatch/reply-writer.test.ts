import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { chatConfig, chatReply, chunk, dataOf, FakeProvider, startFakeGateway, TEST_KEY, type Behaviour, type FakeGateway } from '../fake-gateway.fixture.ts';

const WORDS = ['Grüße', ' 世界', ' 🚀', ' and ASCII', ' \ud83d'];
const streams: Behaviour = (call) => {
  call.accept();
  for (const content of WORDS) call.events(chunk({ content }));
  call.events(chunk({}, 'stop')).events('[DONE]').end();
};

function requestText(version: '1.0' | '1.1', stream: boolean): string {
  const body = JSON.stringify({ model: 'chat', stream, messages: [{ role: 'user', content: 'hi' }] });
  return `POST /v1/chat/completions HTTP/${version}\r\nhost: gateway\r\nauthorization: Bearer ${TEST_KEY}\r\ncontent-type: application/json\r\ncontent-length: ${String(body.length)}\r\n\r\n${body}`;
}

/** Sends text over one connection and returns every byte of the answer up to `isWhole`, or to the end of the connection. */
async function exchange(gateway: FakeGateway, text: string, isWhole: (answer: string) => boolean): Promise<string> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.setEncoding('utf8').on('data', (piece: string) => {
    answer += piece;
    if (isWhole(answer)) socket.destroy();
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

test('a stream in any script is framed so that a client reads every word', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a: new FakeProvider(streams) } });
  const reply = await gateway.chat({ stream: true });
  const contents = dataOf(await reply.text()).flatMap((data) => (data === '[DONE]' ? [] : (data as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content ?? []));
  // JSON escapes half of a pair.
  expect(contents).toEqual(WORDS);
});

test('after a stream the connection serves the next request', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a: new FakeProvider((call, index) => (call.request.stream ? streams(call, index) : call.json(chatReply('second')))) } });
  const answer = await exchange(gateway, requestText('1.1', true) + requestText('1.1', false), (text) => text.includes('second'));
  const [stream = '', reply = ''] = answer.split('\r\n0\r\n\r\n');
  expect(stream).toMatch(/\r\ntransfer-encoding: chunked\r\n/i);
  expect(stream.endsWith('data: [DONE]\n\n')).toBe(true);
  expect(reply).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

test('a client that speaks HTTP/1.0 gets the stream without chunks, up to the end of the connection', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a: new FakeProvider(streams) } });
  const answer = await exchange(gateway, requestText('1.0', true), () => false);
  const [head = '', ...body] = answer.split('\r\n\r\n');
  expect(head).not.toMatch(/transfer-encoding/i);
  expect(body.join('\r\n\r\n')).toMatch(/^data: \{.*\}\n\ndata: /);
  expect(answer.endsWith('data: [DONE]\n\n')).toBe(true);
});
