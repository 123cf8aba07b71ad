import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import type { ProviderError } from '../provider-error.ts';
import type { ReplySink } from '../provider.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { createOpenAiWireProvider } from './adapter.ts';

const REPLY_BODY = JSON.stringify({ id: 'r', object: 'chat.completion', model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }] });
const REPLY = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${String(REPLY_BODY.length)}\r\n\r\n${REPLY_BODY}`;

/** Some 10 MB: more than the kernel's buffers take on loopback. */
const CALLS = 200;

function bodyOf(index: number): Buffer {
  return Buffer.from(JSON.stringify({ model: 'asked', messages: [{ role: 'user', content: `prompt-${String(index)} `.repeat(5_500) }] }));
}

test('a body that a server answered before it had read it is never overwritten by the next one', async () => {
  const received: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    socket.on('error', () => undefined);
    // A listener for data makes a socket flow: this one reads nothing until it is told to.
    socket.pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const pools = new UpstreamPools();
  const provider = createOpenAiWireProvider(
    { provider: 'openai', model: 'served', apiKey: 'sk-x', apiBase: `http://127.0.0.1:${String(port)}/v1`, apiVersion: undefined, params: {} },
    { pools, env: {} },
  );
  const call = (index: number): Promise<ProviderError | undefined> => new Promise((resolve) => {
    const rawBody = bodyOf(index);
    const sink: ReplySink = { onStart: () => undefined, onJson: () => resolve(undefined), onEvents: () => undefined, onEnd: () => undefined, onError: resolve };
    provider.start({ format: 'chat', body: JSON.parse(rawBody.toString()) as { model: string }, rawBody, stream: false, headers: {}, headersTimeoutMs: 10_000, idleTimeoutMs: 10_000 }, sink);
    // Answers without having read: the kernel takes what fits its buffers, the rest waits in this process.
    const answer = setInterval(() => {
      const socket = sockets.at(-1);
      if (socket === undefined) return;
      clearInterval(answer);
      socket.write(REPLY);
    }, 5);
  });

  const failures: ProviderError[] = [];
  for (let index = 0; index < CALLS; index += 1) {
    const failure = await call(index);
    // The connection is free again some turns later; a call before that would open a second one.
    await vi.waitFor(() => expect(pools.counts()[0]?.idle).toBe(1), { timeout: 5_000, interval: 1 });
    if (failure !== undefined) failures.push(failure);
  }
  for (const socket of sockets) socket.resume();
  await vi.waitFor(() => expect(Buffer.concat(received.slice(-40)).includes(`prompt-${String(CALLS - 1)} "}`)).toBe(true), { timeout: 10_000, interval: 50 });
  provider.close();
  await pools.close();
  for (const socket of sockets) socket.destroy();
  server.close();

  // Whole prompts in their order; one with a piece of another in it shows here.
  const text = Buffer.concat(received).toString();
  const prompts = [...text.matchAll(/"content":"([^"]*)/g)].map(([, content]) => content ?? '');
  expect(failures).toEqual([]);
  expect(prompts.map((prompt) => [...new Set(prompt.trim().split(' '))].join())).toEqual(Array.from({ length: CALLS }, (_, index) => `prompt-${String(index)}`));
});
