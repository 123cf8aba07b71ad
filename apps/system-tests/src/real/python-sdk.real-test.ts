import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { MASTER_KEY, startSimulatedGateway } from './simulated-gateway.ts';

test('the official Python clients of OpenAI and Anthropic work unchanged: chat, streams, tools, embeddings, messages, errors', async () => {
  const python = process.env['PYTHON_SDK'];
  if (python === undefined) throw new Error('PYTHON_SDK is not set: run this through `npm run test:real -- --only python-sdk`.');
  await using gateway = await startSimulatedGateway();
  const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'python-sdk.py')], {
    env: { PATH: process.env['PATH'], GATEWAY_URL: gateway.url, GATEWAY_KEY: MASTER_KEY, NO_PROXY: '127.0.0.1' }, timeout: 90_000,
  });
  const seen = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
  expect(seen['models']).toEqual(expect.arrayContaining(['simulated/swift', 'auto']));
  expect(seen['chat']).toEqual({ content: expect.stringContaining('simulated/swift'), finish: 'stop', total: expect.any(Number) });
  expect(seen['stream']).toMatchObject({ content: seen['chat']?.['content'], finish: ['stop'], total: seen['chat']?.['total'] });
  expect(seen['stream']?.['chunks']).toBeGreaterThan(5);
  expect(seen['tools']).toEqual({ finish: 'tool_calls', name: 'get_weather', arguments: { city: 'Lugano' } });
  expect(seen['embedding']).toBe(384);
  expect(seen['wrong_key']).toBe(401);
  expect(seen['messages']).toEqual({ text: seen['chat']?.['content'], stop: 'end_turn', output: expect.any(Number) });
  expect(seen['messages_stream']).toEqual({ text: seen['chat']?.['content'], stop: 'end_turn' });
  expect(seen['messages_tools']).toEqual({ stop: 'tool_use', name: 'get_weather', input: { city: 'Lugano' } });
});
