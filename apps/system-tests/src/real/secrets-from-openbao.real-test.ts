import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, freePort, spawnApp, startSteadyLoad, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';

const MASTER_KEY = 'sk-openbao-0123456789abcdef';

/** A provider that takes every key and remembers which ones it saw. */
async function startProvider(): Promise<AsyncDisposable & { readonly url: string; readonly keys: string[] }> {
  const keys: string[] = [];
  const server = createServer((request, response) => {
    const key = String(request.headers.authorization).replace('Bearer ', '');
    if (keys.at(-1) !== key) keys.push(key);
    request.resume().once('end', () => response.setHeader('content-type', 'application/json').end(JSON.stringify({
      id: 'c', object: 'chat.completion', created: 1, model: 'gpt', choices: [{ index: 0, message: { role: 'assistant', content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    })));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, keys,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function start(args: readonly string[], env: Readonly<Record<string, string>>): AsyncDisposable & { words(): string; readonly child: ChildProcess } {
  const program = process.env['BAO'];
  if (program === undefined) throw new Error('BAO is not set: run this through `npm run test:real -- --only openbao`.');
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], ...env } });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-8_000)));
  return {
    child, words: () => words,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

test('a provider key that is rotated in OpenBao reaches the gateway through its agent, under load, without a restart and without a failed request', async () => {
  await using directory = await temporaryDirectory();
  await using provider = await startProvider();
  const [token, port] = [randomUUID(), await freePort()];
  const address = `http://127.0.0.1:${String(port)}`;
  const [secrets, config, agentConfig] = [join(directory.path, 'secrets'), join(directory.path, 'config.yaml'), join(directory.path, 'agent.hcl')];
  await mkdir(secrets);
  await using server = start(['server', '-dev', `-dev-root-token-id=${token}`, `-dev-listen-address=127.0.0.1:${String(port)}`, '-dev-no-store-token'], { HOME: directory.path });
  const store = async (key: string): Promise<void> => {
    const reply = await fetch(`${address}/v1/secret/data/providers`, { method: 'POST', headers: { 'x-vault-token': token, 'content-type': 'application/json' }, body: JSON.stringify({ data: { openai: key } }) });
    if (!reply.ok) throw new Error(`OpenBao answers ${String(reply.status)}`);
  };
  await eventually(() => store('sk-before'), { timeoutMs: 30_000 }).catch((error: unknown) => {
    throw new Error(`OpenBao does not serve: ${server.words()}`, { cause: error });
  });
  await writeFile(join(directory.path, 'token'), token);
  await writeFile(agentConfig, `
vault { address = "${address}" }
auto_auth { method "token_file" { config = { token_file_path = "${join(directory.path, 'token')}" } } }
template_config { static_secret_render_interval = "1s" }
template {
  contents = "{{ with secret \\"secret/data/providers\\" }}{{ .Data.data.openai }}{{ end }}"
  destination = "${join(secrets, 'OPENAI_API_KEY')}"
}
`);
  await using agent = start(['agent', `-config=${agentConfig}`], { HOME: directory.path });
  await writeFile(config, JSON.stringify({
    model_list: [{ model_name: 'gpt', litellm_params: { model: 'openai/gpt', api_base: `${provider.url}/v1`, api_key: 'os.environ/OPENAI_API_KEY' } }], general_settings: { master_key: MASTER_KEY },
  }));
  await using gateway = await spawnApp('gateway', {
    env: { HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: config, DATABASE_URL: 'none', POINTSMAN_HOME: directory.path, RUN_DIR: join(directory.path, 'run'), MODELS_DIR: join(directory.path, 'models'), SECRETS_DIR: secrets },
  });
  await eventually(async () => expect((await fetch(`${gateway.url}/health/readiness`)).status).toBe(200), { timeoutMs: 60_000 }).catch((error: unknown) => {
    throw new Error(`the agent said: ${agent.words()}`, { cause: error });
  });
  const load = startSteadyLoad({ url: gateway.url, requestsPerSecond: 50, streamShare: 0, headers: { authorization: `Bearer ${MASTER_KEY}` }, body: () => ({ model: 'gpt', messages: [{ role: 'user', content: 'How do you do?' }] }) });
  await eventually(() => expect(provider.keys).toEqual(['sk-before']));
  await store('sk-after');
  await eventually(() => expect(provider.keys).toContain('sk-after'), { timeoutMs: 60_000 });
  const { failures } = await load.stop();
  expect(failures).toEqual([]);
  expect(provider.keys.at(-1)).toBe('sk-after');
});
