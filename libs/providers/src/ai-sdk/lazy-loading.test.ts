import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const SDKS = ['@ai-sdk/anthropic', '@ai-sdk/google', '@ai-sdk/google-vertex', '@ai-sdk/amazon-bedrock', '@ai-sdk/cohere', 'google-auth-library', 'aws4fetch', '@aws-sdk'];

/** Runs code in a fresh process and tells which of the SDKs it loaded. */
async function loadedBy(code: string): Promise<string[]> {
  const program = `
    import { registerHooks } from 'node:module';
    const seen = new Set();
    registerHooks({ load(url, context, next) { seen.add(url); return next(url, context); } });
    ${code}
    console.log(JSON.stringify([...seen]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: import.meta.dirname });
  const urls = JSON.parse(stdout) as string[];
  return SDKS.filter((name) => urls.some((url) => url.includes(`/node_modules/${name}/`)));
}

const create = (provider: string, params = '{}'): string => `
  const { createAiSdkProvider } = await import('./index.ts');
  const { UpstreamPools } = await import('../upstream-pools.ts');
  const provider = await createAiSdkProvider({ provider: '${provider}', model: 'm', apiKey: 'k-123456', apiBase: 'http://127.0.0.1:9', apiVersion: undefined, params: ${params} }, { pools: new UpstreamPools(), env: {} });
  if (provider.problems !== undefined) throw new Error(provider.problems[0]);`;

test('importing the room loads no SDK', async () => {
  await expect(loadedBy("await import('./index.ts');")).resolves.toEqual([]);
});

test.each([
  ['cohere', '{}', ['@ai-sdk/cohere']],
  ['gemini', '{}', ['@ai-sdk/google']],
  ['anthropic', '{}', ['@ai-sdk/anthropic']],
  ['ollama', '{}', []],
] as const)('a %s deployment loads its own SDK and no other', async (provider, params, expected) => {
  await expect(loadedBy(create(provider, params))).resolves.toEqual(expected);
});

test('a Bedrock deployment with keys loads no AWS credential chain and nothing of Google', async () => {
  const loaded = await loadedBy(create('bedrock', "{ aws_region_name: 'us-east-1', aws_access_key_id: 'a', aws_secret_access_key: 'b' }"));
  expect(loaded).toContain('@ai-sdk/amazon-bedrock');
  expect(loaded.filter((name) => name.includes('google') || name === '@ai-sdk/cohere' || name === '@aws-sdk')).toEqual([]);
});
