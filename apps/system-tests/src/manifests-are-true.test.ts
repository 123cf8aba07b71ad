import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');

test('every overlay renders, and every component on top of the base; each object is one that Kubernetes takes, and ports, probes, variables, volumes and metrics are those of the code; the chart equals the base', async () => {
  const child = spawn(process.execPath, [join(root, 'tools', 'check-manifests.ts')], { stdio: ['ignore', 'pipe', 'pipe'], cwd: root });
  const [out, problems, code] = await Promise.all([text(child.stdout), text(child.stderr), new Promise((resolve) => child.once('close', resolve))]);
  expect(problems).toBe('');
  expect(code).toBe(0);
  const components = (await readdir(join(root, 'deploy', 'components'))).map((name) => `components/${name}`);
  expect(components).toContain('components/rollouts');
  for (const source of ['base', 'overlays/local', 'overlays/staging', 'overlays/production', ...components]) expect(out).toMatch(new RegExp(`^deploy/${source}: \\d{2,} objects$`, 'm'));
}, 300_000);
