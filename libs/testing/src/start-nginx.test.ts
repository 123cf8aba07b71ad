import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { startNginx } from './start-nginx.ts';

const answering = (text: string) => ({ port }: { readonly port: number }): string => `server { listen 127.0.0.1:${port}; location / { return 200 '${text}'; } }`;

test('nginx serves the given configuration, loads another while it runs, and ends', async () => {
  await using nginx = await startNginx({ http: answering('one') });
  const read = async (): Promise<string> => (await fetch(nginx.url, { headers: { connection: 'close' } })).text();
  expect(await read()).toBe('one');
  await nginx.reload(answering('two'));
  await eventually(async () => expect(await read()).toBe('two'));
  await expect(nginx.reload(() => 'nonsense;')).rejects.toThrow(/refused the configuration/);
  expect(await read()).toBe('two');
  expect(await nginx.stop()).toBe(0);
  await expect(read()).rejects.toThrow();
});

test('a configuration that nginx refuses at start is reported in its words', async () => {
  await expect(startNginx({ http: () => 'nonsense;' })).rejects.toThrow(/nonsense/);
});
