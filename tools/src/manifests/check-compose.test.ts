import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkCompose, composeProblems } from './check-compose.ts';
import { loadClusterApps } from './check-overlay.ts';

const root = join(import.meta.dirname, '..', '..', '..');

test('the compose file fits the apps that it starts and the upstreams of nginx', async () => {
  expect(await checkCompose(root, await loadClusterApps(root))).toEqual([]);
});

test.each([
  ['a misspelt variable', 'SHUTDOWN_STREAM_TIMEOUT_S:', 'SHUTDOWN_TIMEOUT_S:', /gateway-1 environment\.SHUTDOWN_TIMEOUT_S is no setting of gateway/],
  ['a value that is refused', 'DATABASE_URL: postgresql:', 'DATABASE_URL: mysql:', /gateway-1 environment: gateway refuses it: .*DATABASE_URL/],
  ['too little time to drain', 'stop_grace_period: 35s', 'stop_grace_period: 20s', /gateway-2 stop_grace_period is 20 s, shorter than 35 s/],
  ['a sidecar that cannot signal', 'pid: service:gateway-3', 'pid: host', /config-sync-3 pid must be that of a gateway/],
  ['a gateway that nginx does not find', '  gateway-3:\n', '  gateway-4:\n', /nginx\.conf: there is no service gateway-3/],
])('%s is refused', async (_what, right, wrong, says) => {
  const compose = await readFile(join(root, 'deploy', 'compose', 'compose.yaml'), 'utf8');
  expect(compose).toContain(right);
  const nginx = 'upstream pointsman {\n  server gateway-1:4000;\n  server gateway-2:4000;\n  server gateway-3:4000;\n}\n';
  expect(composeProblems(compose.replace(right, wrong), nginx, await loadClusterApps(root))).toContainEqual(expect.stringMatching(says));
});
