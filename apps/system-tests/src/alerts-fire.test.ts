import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const alertsFolder = join(root, 'alerts');
const ruleFiles = globSync('*.rules.yaml', { cwd: alertsFolder }).sort();
const testFiles = globSync('tests/*.test.yaml', { cwd: alertsFolder }).sort();
const read = (path: string): string => readFileSync(join(alertsFolder, path), 'utf8');

/** The blocks of rule files that begin with `- alert:`. */
const alerts = ruleFiles.flatMap((file) => read(file).split(/\n {6}(?=- )/).filter((rule) => rule.startsWith('- alert: ')).map((text) => ({ name: /^- alert: (\w+)/.exec(text)?.[1] ?? '', text })));

/** What Debian's program says; rejects with its words when it ends with another code than 0. */
async function run(program: 'promtool' | 'amtool', args: readonly string[], cwd = alertsFolder): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, args, { cwd }).catch((error: unknown) => {
    const { stdout: out = '', stderr: err = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')}: ${String(error)}\n${out}${err}`);
  });
  return stdout + stderr;
}

const kebab = (name: string): string => name.replace(/(?<!^)(?=[A-Z])/g, '-').toLowerCase();

test('Prometheus accepts the rules', async () => {
  expect(ruleFiles.length).toBeGreaterThan(2);
  expect(await run('promtool', ['check', 'rules', '--lint-fatal', ...ruleFiles])).not.toMatch(/FAILED/);
});

test('every alert fires when it should and stays silent when it should not', async () => {
  expect(await run('promtool', ['test', 'rules', ...testFiles])).not.toMatch(/FAILED/);
  // 12 s of processor time, but this file runs beside those that put load on everything.
}, 600_000);

test('every alert has both cases, a runbook that says what to do, and a priority that is routed', () => {
  expect(alerts.length).toBeGreaterThan(20);
  expect(testFiles.map((file) => basename(file, '.test.yaml')).sort()).toEqual(alerts.map(({ name }) => name).sort());
  for (const { name, text } of alerts) {
    const cases = read(`tests/${name}.test.yaml`).split(/\n {2}- name: /).slice(1);
    expect(cases.every((one) => one.includes(`alertname="${name}"`)), name).toBe(true);
    expect(cases.some((one) => one.startsWith("'fires ") && /exp_samples: \[\{ labels: '\{\}', value: [1-9]/.test(one)), `${name} fires`).toBe(true);
    expect(cases.some((one) => one.startsWith("'stays silent ") && /value: 0 \}/.test(one)), `${name} stays silent`).toBe(true);
    expect(text, name).toMatch(/labels: \{ severity: (critical, priority: P0|warning, priority: P[12]) \}/);
    expect(text, name).toMatch(/\n {10}summary: '/);
    const runbook = `docs/runbooks/${kebab(name)}.md`;
    expect(text, name).toContain(`runbook_url: '{{ with $externalLabels.runbook_base }}{{ . }}/{{ end }}${runbook}'`);
    expect(existsSync(join(root, runbook)), runbook).toBe(true);
    const page = readFileSync(join(root, runbook), 'utf8');
    for (const heading of ['## What it means', '## Look here', '## Do this']) expect(page, runbook).toContain(heading);
  }
  expect(globSync('docs/runbooks/*.md', { cwd: root }).map((path) => basename(path, '.md')).filter((name) => name !== 'README').sort()).toEqual(alerts.map(({ name }) => kebab(name)).sort());
});

test('a base for runbooks is an external label of Prometheus', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'base.test.yaml');
  const alert = (base: string): string => `
    alert_rule_test:
      - eval_time: 10m
        alertname: NoGatewayServes
        exp_alerts:
          - exp_labels: { severity: critical, priority: P0 }
            exp_annotations: { summary: 'No gateway answers its scrape. See whether pods run and are ready; roll back the last change.', runbook_url: '${base}docs/runbooks/no-gateway-serves.md' }`;
  await writeFile(file, `rule_files: [${join(alertsFolder, 'gateway.rules.yaml')}]
evaluation_interval: 1m
tests:
  - interval: 1m
    external_labels: { runbook_base: 'https://example.com/pointsman' }
    input_series: []${alert('https://example.com/pointsman/')}
  - interval: 1m
    input_series: []${alert('')}
`);
  expect(await run('promtool', ['test', 'rules', file])).not.toMatch(/FAILED/);
});

test('Alertmanager accepts its file, and sends P0 to PagerDuty and all else to Slack', async () => {
  expect(await run('amtool', ['check-config', 'alertmanager.yaml'])).toMatch(/SUCCESS/);
  const receivers = async (labels: readonly string[]): Promise<string> => (await run('amtool', ['config', 'routes', 'test', '--config.file=alertmanager.yaml', ...labels])).split('\n')[0] ?? '';
  expect(await receivers(['alertname=NoGatewayServes', 'severity=critical', 'priority=P0'])).toBe('pagerduty,slack');
  expect(await receivers(['alertname=DegradedMode', 'severity=warning', 'priority=P1'])).toBe('slack');
  expect(await receivers(['alertname=UnpricedModel', 'severity=warning', 'priority=P2'])).toBe('slack');
  expect(read('alertmanager.yaml')).not.toMatch(/(routing_key|service_key|api_url): /);
});

test('a rule that is broken on purpose is noticed', async () => {
  await using directory = await temporaryDirectory();
  const rules = read('gateway.rules.yaml').replace('absent(gateway_inflight_requests)', 'absent(gateway_inflight_request)');
  await writeFile(join(directory.path, 'gateway.rules.yaml'), rules);
  const text = read('tests/NoGatewayServes.test.yaml').replace('../gateway.rules.yaml', join(directory.path, 'gateway.rules.yaml'));
  await writeFile(join(directory.path, 'broken.test.yaml'), text);
  await expect(run('promtool', ['test', 'rules', join(directory.path, 'broken.test.yaml')])).rejects.toThrow(/FAILED/);
});
