import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { verifyChains } from '@pointsman/audit';
import { connectDatabase } from '@pointsman/database';
import type { Release } from '@pointsman/schemas';
import { eventually, startObjectStore, startPostgres, temporaryDirectory, type RunningObjectStore, type RunningPostgres, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { CommandContext } from '../command-context.ts';
import { readRelease, revisionAt, startFakeFleet, type FakeFleet } from '../release/fake-fleet.fixture.ts';
import { runCommand } from '../run-command.ts';

const { signal } = new AbortController();
const config = (model: string): string => `model_list:\n  - { model_name: chat, litellm_params: { model: openai/${model}, api_key: os.environ/SOME_KEY } }\n`;
const MASTER_KEY = 'sk-of-the-test-fleet';

let postgres: RunningPostgres;
let folder: TemporaryDirectory;
let database = '';
let store: RunningObjectStore;
let fleet: FakeFleet;

beforeAll(async () => {
  [postgres, folder] = await Promise.all([startPostgres(), temporaryDirectory()]);
  database = await postgres.createDatabase();
  const opened = connectDatabase({ url: database, applicationName: 'test' });
  await opened.migrate(signal);
  await opened.close();
});
afterAll(() => Promise.all([postgres[Symbol.asyncDispose](), folder[Symbol.asyncDispose]()]));
beforeEach(async () => {
  store = await startObjectStore();
  await store.put('prod/config.yaml', config('gpt-4o'));
  await store.put('prod/llm_candidates.json', '{"a": {"provider": "openai"}}');
  fleet = await startFakeFleet({ store, replicas: 4, masterKey: MASTER_KEY });
});
afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

async function run(argv: readonly string[], { env = {}, ...rest }: Partial<CommandContext> = {}): Promise<Ran> {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCommand(argv, { env: { ...store.env, DATABASE_URL: database, ...env }, columns: undefined, print: (text) => out.push(text), printError: (text) => errors.push(text), ...rest });
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}

/** Short where all goes well; generous where only a test that fails, or a machine that is busy, would wait. */
const QUICK = ['--window', '150ms', '--interval', '20ms', '--poll', '4s', '--blind', '5s', '--min-requests', '5'];

async function rollout(argv: readonly string[], context: Partial<CommandContext> = {}): Promise<Ran> {
  return await run(['rollout', 'config', '--gateways', fleet.urls, ...QUICK, ...argv], context);
}

async function file(name: string, text: string): Promise<string> {
  const path = join(folder.path, name);
  await writeFile(path, text);
  return path;
}

async function auditRows(actor: string): Promise<readonly { readonly action: string; readonly resource: string; readonly before: unknown; readonly after: unknown }[]> {
  const opened = connectDatabase({ url: database, applicationName: 'test' });
  const { rows } = await opened.audit.read(undefined, 10_000, signal);
  await opened.close();
  expect(await verifyChains(rows)).toMatchObject({ problemCount: 0 });
  return (rows as readonly { readonly actor: string; readonly action: string; readonly resource: string; readonly before: unknown; readonly after: unknown }[]).filter((row) => row.actor === actor && !row.action.startsWith('audit.'));
}

test('a good configuration goes through 10, 50 and 100 %, becomes stable, and every step is in the audit log', async () => {
  const stable = fleet.revisions()[0] ?? '';
  const { code, out, errors } = await rollout([await file('good.yaml', config('gpt-4.1')), '--actor', 'ada']);
  expect([code, errors]).toEqual([0, '']);
  expect(out).toMatch(/Started: prod [0-9a-f]{12} \(prod\/releases\/\d{8}T\d{6}Z-[0-9a-f]{12}\/config\.yaml\) at 10 %, over [0-9a-f]{12} \(prod\/config\.yaml\)[^]*On to 50 %[^]*On to 100 %[^]*Promoted: [0-9a-f]{12}/);
  const release = await readRelease(store);
  const revision = await revisionAt(store, release.stable.config_key);
  expect(release).toEqual({ stable: { config_key: expect.stringContaining(`-${revision}/config.yaml`) as string }, history: [{ config_key: expect.stringMatching(new RegExp(`^prod/releases/.*-${stable}/config\\.yaml$`)) as string, until: expect.any(String) as string, replaced_by: 'ada' }] });
  // What was stable beside it came along.
  expect(store.keys().filter((key) => key.endsWith('/llm_candidates.json'))).toHaveLength(3);
  await eventually(() => expect(new Set(fleet.revisions())).toEqual(new Set([revision])));

  const rows = await auditRows('ada');
  expect(rows.map(({ action }) => action)).toEqual(['config.rollout.start', 'config.rollout.stage', 'config.rollout.stage', 'config.rollout.promote']);
  expect(rows[0]).toMatchObject({ resource: 'config:prod', before: { stable: { revision: stable } }, after: { canary: { revision, percent: 10 } } });
  expect(rows[1]).toMatchObject({ before: { percent: 10, observed: { canary: { errors: 0, error_rate: 0 } } }, after: { percent: 50, raised: false } });
  expect(rows[3]).toMatchObject({ before: { stable: { config_key: 'prod/config.yaml', revision: stable } }, after: { stable: { revision }, observed: { canary: { error_rate: 0 } } } });

  expect(await rollout([join(folder.path, 'good.yaml')])).toMatchObject({ code: 0, out: 'Nothing to do: this configuration is stable already.' });
});

test('a canary that fails at 10 % is rolled back with exit code 2; stable replicas never served it', async () => {
  const [stable = ''] = fleet.revisions();
  fleet.failing = (revision) => (revision === stable ? 0 : 0.5);
  const seen = new Set<string>();
  const watch = setInterval(() => { for (const revision of fleet.revisions().slice(1)) seen.add(revision); }, 5);
  const { code, out } = await rollout([await file('bad.yaml', config('bad')), '--actor', 'bob', '--json']).finally(() => { clearInterval(watch); });
  expect(code).toBe(2);
  const events = out.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events.find(({ event }) => event === 'breach')).toMatchObject({ reason: 'error-rate', percent: 10, stable: { errors: 0 }, detail: expect.stringMatching(/^50 % of \d+ requests failed \(0 % on stable\)/) as string });
  expect(events.at(-2)).toMatchObject({ event: 'rolled-back', at: expect.any(String) as string });
  expect(events.at(-1)).toMatchObject({ event: 'returned', replicas: 4, left: [] });
  expect(seen).toEqual(new Set([stable]));
  expect(await readRelease(store)).toEqual({ stable: { config_key: 'prod/config.yaml' } });
  expect((await auditRows('bob')).at(-1)).toMatchObject({ action: 'config.rollout.rollback', before: { canary: { percent: 10 }, observed: { canary: { error_rate: 0.5 } } }, after: { stable: { revision: stable }, reason: 'error-rate' } });
});

test('an outage that hits both arms holds the rollout, and it goes on when that is over', async () => {
  fleet.failing = () => 0.5;
  fleet.rate = 10;
  const { code } = await rollout([await file('outage.yaml', config('outage')), '--window', '900ms', '--stages', '50,100', '--min-requests', '20'], recorder((line) => { if (line.includes('both arms fail')) fleet.failing = () => 0; }));
  expect([code, recorded.join('\n')]).toEqual([0, expect.stringContaining('held, both arms fail')]);
});

let recorded: string[] = [];
/** Sees every line as it is printed. */
function recorder(see: (line: string) => void): Pick<CommandContext, 'print'> {
  recorded = [];
  return {
    print: (line) => {
      recorded.push(line);
      see(line);
    },
  };
}

test('a configuration that replicas refuse is rolled back with their reason; without the master key because nobody takes it', async () => {
  const path = await file('refused.yaml', config('refused'));
  const { code, errors: dry } = await rollout([path, '--dry-run', '--json']);
  expect([code, dry]).toEqual([0, '']);
  const revision = await revisionOfFile(path);
  fleet.refused.add(revision);
  expect(await rollout([path], { env: { LITELLM_MASTER_KEY: MASTER_KEY } })).toMatchObject({ code: 2, out: expect.stringMatching(/Rolling back \(rejected\): http.* refuses it: model_list\[0\]/) as string });
  const blind = await rollout([path, '--poll', '40ms', '--stages', '80,100']);
  expect(blind).toMatchObject({ code: 2, out: expect.stringMatching(/Nobody took it: raised to 90 %[^]*raised to 99 %[^]*Rolling back \(not-taken\)/) as string });
});

async function revisionOfFile(path: string): Promise<string> {
  const { out } = await rollout([path, '--dry-run', '--json']);
  return (JSON.parse(out) as { revision: string }).revision;
}

test('pods that decide by hash: the percent rises until one takes it', async () => {
  fleet.takes = (index, percent) => percent > ([35, 60, 80, 95][index] ?? 100);
  const { code, out } = await rollout([await file('hash.yaml', config('hash')), '--poll', '80ms', '--stages', '10,100']);
  expect([code, out]).toEqual([0, expect.stringMatching(/raised to 40 %[^]*On to 100 %[^]*Promoted/)]);
});

test.each([['and there was no release yet', undefined], ['over a release that was there', '{"stable": {"config_key": "prod/config.yaml"}, "history": []}']])('of two rollouts at once one begins; the other says who was first and leaves nothing behind, %s', async (_when, release) => {
  if (release !== undefined) await store.put('prod/release.json', release);
  const paths = await Promise.all(['first', 'second'].map((name) => file(`${name}.yaml`, config(name))));
  const [one, two] = await Promise.all(paths.map((path, index) => rollout([path, '--actor', `racer-${String(index)}`])));
  const codes = [one?.code, two?.code];
  expect(codes.toSorted()).toEqual([0, 1]);
  const loser = codes[0] === 1 ? one : two;
  expect(loser?.errors).toMatch(new RegExp(`another rollout of prod was started by racer-${codes[0] === 1 ? '1' : '0'} at 20`));
  // The one that won, and what was stable before it.
  expect(store.keys().filter((key) => /releases\/.*config\.yaml/.test(key))).toHaveLength(2);
});

test('a canary whose answer was lost is watched all the same; when nobody can tell, that is said', async () => {
  const path = await file('lost.yaml', config('lost'));
  const end = store.fail({ match: /^PUT prod\/release\.json/, lostReply: true, times: 3 });
  expect(await rollout([path, '--stages', '100'])).toMatchObject({ code: 0, out: expect.stringContaining('Promoted') as string });
  end();
  await file('lost.yaml', config('lost again'));
  store.fail({ match: (request) => request.key === 'prod/release.json' && (request.method === 'PUT' || store.requests.some(({ method, key, status }) => method === 'PUT' && key === 'prod/release.json' && status === 503)), status: 503 });
  const unknown = await rollout([path]);
  expect([unknown.code, unknown.errors]).toEqual([1, expect.stringContaining('did not say whether it took the canary')]);
});

test('a canary that runs already is not replaced; --resume goes on with it', async () => {
  const controller = new AbortController();
  const left = await rollout([await file('resumed.yaml', config('resumed')), '--on-interrupt', 'leave'], { ...interruptedBy(controller), ...recorder((line) => { if (line.includes('watching')) controller.abort(); }) });
  expect([left.code, recorded.join('\n')]).toEqual([1, expect.stringContaining('Left as it is, at 10 %')]);
  const { canary } = await readRelease(store);
  expect(canary).toMatchObject({ percent: 10 });

  const refused = await rollout([await file('third.yaml', config('third'))]);
  expect([refused.code, refused.errors]).toEqual([1, expect.stringContaining('--resume')]);
  expect((await rollout([join(folder.path, 'third.yaml'), '--resume'])).errors).toContain('is not the canary that is running');
  const resumed = await rollout(['--resume']);
  expect([resumed.code, resumed.out]).toEqual([0, expect.stringMatching(/^Going on: .*at 10 %/)]);
  expect((await readRelease(store)).stable.config_key).toBe(canary?.config_key);
  expect((await rollout(['--resume'])).errors).toContain('nothing to go on with');
});

function interruptedBy(controller: AbortController): Pick<CommandContext, 'interrupts'> {
  return { interrupts: () => ({ signal: controller.signal, [Symbol.dispose]: () => undefined }) };
}

test('Ctrl-C rolls back', async () => {
  const controller = new AbortController();
  const { code } = await rollout([await file('stopped.yaml', config('stopped')), '--actor', 'eve'], { ...interruptedBy(controller), ...recorder((line) => { if (line.includes('watching')) controller.abort(); }) });
  expect([code, recorded.join('\n')]).toEqual([2, expect.stringContaining('Rolling back (interrupted)')]);
  expect((await readRelease(store)).canary).toBeUndefined();
  expect((await auditRows('eve')).at(-1)).toMatchObject({ action: 'config.rollout.rollback', after: { reason: 'interrupted' } });
});

test('Ctrl-C on the real command line, which hears it twice, rolls back and exits with 2', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts'), 'rollout', 'config', await file('process.yaml', config('process')), '--gateways', fleet.urls, '--window', '5m', '--interval', '20ms', '--poll', '4s'], {
    env: { PATH: process.env['PATH'], ...store.env, DATABASE_URL: database }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { out += text; });
  await eventually(() => expect(out).toContain('watching'), { timeoutMs: 80_000 });
  child.kill('SIGINT');
  child.kill('SIGINT');
  expect(await exited).toEqual([2, null]);
  expect(out).toMatch(/Rolling back \(interrupted\)[^]*Rolled back in[^]*4 replicas back on stable/);
  expect((await readRelease(store)).canary).toBeUndefined();
}, 100_000);

test('a store that is away during the rollback is tried until it answers; one that stays away is called out', async () => {
  const [stable = ''] = fleet.revisions();
  let end = (): void => undefined;
  const breakAt = (times: number | undefined) => recorder((line) => {
    if (line.includes('watching')) {
      end = store.fail({ match: /release\.json/, status: 503, ...(times === undefined ? {} : { times }) });
      fleet.failing = (revision) => (revision === stable ? 0 : 1);
    }
  });
  const healed = await rollout([await file('away.yaml', config('away'))], breakAt(4));
  expect([healed.code, recorded.join('\n')]).toEqual([2, expect.stringMatching(/The store is away, trying on[^]*Rolled back in/)]);
  expect((await readRelease(store)).canary).toBeUndefined();

  fleet.failing = () => 0;
  end();
  const lost = await rollout([await file('away.yaml', config('away')), '--store-timeout', '50ms'], breakAt(undefined));
  expect([lost.code, lost.errors]).toEqual([2, expect.stringMatching(/THE ROLLBACK FAILED[^]*prod\/release\.json: run "pointsman rollback config"/)]);
  store.heal();
  fleet.failing = () => 0;
  expect(await run(['rollback', 'config', '--gateways', fleet.urls])).toMatchObject({ code: 0, out: expect.stringMatching(/The canary .* is out[^]*Every replica serves it\./) as string });
});

test('replicas that nobody sees any more are a breach', async () => {
  const { code } = await rollout([await file('unseen.yaml', config('unseen')), '--blind', '300ms', '--poll', '400ms'], recorder((line) => { if (line.includes('watching')) for (const index of [0, 1, 2, 3]) fleet.silent.add(index); }));
  expect([code, recorded.join('\n')]).toEqual([2, expect.stringContaining('Rolling back (blind): cannot see')]);
}, 30_000);

test('a canary that somebody else takes out is left to them', async () => {
  const { code } = await rollout([await file('taken.yaml', config('taken'))], recorder((line) => { if (line.includes('watching')) void store.put('prod/release.json', JSON.stringify({ stable: { config_key: 'prod/config.yaml' } })); }));
  expect(recorded.join('\n')).toContain('somebody else has taken the canary out');
  expect(code).toBe(1);
});

test.each([
  ['promotes while this one wants to roll back', (release: Release): Release => ({ stable: { config_key: release.canary?.config_key ?? '' } }), true],
  ['sets to another percent', (release: Release): Release => ({ ...release, ...(release.canary === undefined ? {} : { canary: { ...release.canary, percent: 77 } }) }), false],
])('a canary that somebody else %s is theirs: nothing is changed, and nothing else is claimed', async (what, theirs, isBad) => {
  const [stable = ''] = fleet.revisions();
  const actor = `overtaken-${String(isBad)}`;
  let written: Release | undefined;
  let wrote: Promise<void> = Promise.resolve();
  const overtake = async (): Promise<void> => {
    written = theirs(await readRelease(store));
    await store.put('prod/release.json', JSON.stringify(written));
    if (isBad) fleet.failing = (revision) => (revision === stable ? 0 : 1);
  };
  const { code } = await rollout([await file(`${actor}.yaml`, config(what.slice(0, 5))), '--actor', actor, '--window', '2s'], recorder((line) => { if (line.includes('watching') && written === undefined) wrote = overtake(); }));
  await wrote;
  expect([code, recorded.join('\n')]).toEqual([1, expect.stringContaining('Stopped: ')]);
  expect(recorded.join('\n')).not.toContain('Rolled back');
  expect(await readRelease(store)).toEqual(written);
  expect((await auditRows(actor)).map(({ action }) => action)).toEqual(['config.rollout.start', 'config.rollout.taken_over']);
});

test('without the audit log nothing begins, unless that is wanted', async () => {
  const path = await file('unaudited.yaml', config('unaudited'));
  const away = { DATABASE_URL: 'postgres://somebody:hunter2@127.0.0.1:1/x' };
  const refused = await rollout([path], { env: away });
  expect([refused.code, refused.errors]).toEqual([1, expect.stringMatching(/cannot write the audit log, so nothing was begun.*ECONNREFUSED/)]);
  expect(await store.get('prod/release.json')).toBeUndefined();
  const without = await rollout([path, '--audit', 'best-effort'], { env: away });
  expect([without.code, without.errors]).toEqual([0, expect.stringMatching(/kept for later[^]*never written:\n.*audit\.opened[^]*config\.rollout\.promote/)]);
  expect(`${refused.errors}${without.errors}`).not.toContain('hunter2');
});

test('what the gateway would refuse goes nowhere, and what is missing is named', async () => {
  const bad = await rollout([await file('typo.yaml', config('x').replace('model_name', 'modelname'))]);
  expect([bad.code, bad.errors]).toEqual([1, expect.stringMatching(/typo\.yaml is refused, nothing was changed:\n.*typo\.yaml:2.*did you mean model_name\?/)]);
  expect(store.keys()).toEqual(['prod/config.yaml', 'prod/llm_candidates.json']);
  const path = await file('fine.yaml', config('fine'));
  expect((await run(['rollout', 'config', path])).errors).toMatch(/--gateways URL,URL….*--prometheus URL/);
  expect((await rollout([])).errors).toContain('the configuration is missing');
  expect((await rollout([path, '--key', 'staging/config.yaml'])).errors).toContain('there is no staging/config.yaml');
  expect((await run(['rollout', 'config', path, '--gateways', fleet.urls], { env: { OBJECT_STORE_URL: '', S3_BUCKET: '' } })).errors).toContain('--store');
  expect((await rollout([path, '--stages', '50,10'])).code).toBe(1);
  expect((await rollout([path], { ask: () => Promise.resolve('n') })).errors).toContain('nothing was changed');
  const leading = join(folder.path, 'leading-out');
  await mkdir(leading);
  await writeFile(join(leading, 'config.yaml'), `include: [../fine.yaml]\n${config('x')}`);
  expect((await rollout([leading])).errors).toContain('lies outside its folder');
});

test('a folder brings its own files along', async () => {
  const path = join(folder.path, 'whole');
  await mkdir(path);
  await Promise.all([writeFile(join(path, 'config.yaml'), `include: [more.yaml]\n${config('whole')}`), writeFile(join(path, 'more.yaml'), 'litellm_settings: { drop_params: true }\n'), writeFile(join(path, 'llm_candidates.json'), '{"b": {"provider": "openai"}}'), writeFile(join(path, 'degraded-mode.yaml'), 'memory_cache_mb: 10\n')]);
  expect(await rollout([path])).toMatchObject({ code: 0 });
  const { stable } = await readRelease(store);
  const beside = async (name: string): Promise<string | undefined> => (await store.get(stable.config_key.replace('config.yaml', name)))?.toString();
  expect(await Promise.all([beside('llm_candidates.json'), beside('degraded-mode.yaml'), beside('more.yaml')])).toEqual(['{"b": {"provider": "openai"}}', 'memory_cache_mb: 10\n', 'litellm_settings: { drop_params: true }\n']);
});

test('a dry run tells the plan and changes nothing', async () => {
  const { code, out } = await rollout([await file('plan.yaml', config('plan')), '--dry-run']);
  expect([code, out]).toEqual([0, expect.stringMatching(/accepted: revision [0-9a-f]{12}, over [0-9a-f]{12}[^]*4 replicas: 4 on stable, 0 on this one, 0 not answering[^]*10 %, 50 %, 100 %/)]);
  expect(store.keys()).toEqual(['prod/config.yaml', 'prod/llm_candidates.json']);
});

test('rollback goes to the configuration before, a second one further back, and --to finds any', async () => {
  expect((await run(['rollback', 'config'])).errors).toContain('there is no configuration before prod/config.yaml');
  const [original = ''] = fleet.revisions();
  expect((await run(['status'])).out).not.toContain('are not served');
  for (const name of ['one', 'two']) expect((await rollout([await file(`${name}.yaml`, config(name)), '--stages', '100'])).code).toBe(0);
  const { stable: two, history } = await readRelease(store);
  const one = history?.[0]?.config_key ?? '';

  const back = await run(['rollback', 'config', '--gateways', fleet.urls, '--actor', 'zoe']);
  expect([back.code, back.out]).toEqual([0, expect.stringMatching(/Stable is .*\(was .*[^]*Every replica serves it\./)]);
  expect((await readRelease(store)).stable.config_key).toBe(one);
  // A file at --key may have changed since: the way back leads to what was served.
  await store.put('prod/config.yaml', config('edited'));
  const first = JSON.parse((await run(['rollback', 'config', '--json'])).out) as { readonly stable_key: string; readonly revision: string };
  expect(first).toMatchObject({ stable_key: expect.stringContaining(`-${original}/config.yaml`) as string, revision: original });
  expect((await run(['status'])).out).toContain(`edits of prod/config.yaml are not served: release.json names ${first.stable_key}`);
  expect((await auditRows('zoe'))[0]).toMatchObject({ action: 'config.rollout.rollback', before: { stable: { config_key: two.config_key } }, after: { stable: { config_key: one }, reason: 'operator' } });

  const revision = await revisionAt(store, two.config_key);
  expect((await run(['rollback', 'config', '--to', revision])).code).toBe(0);
  expect((await readRelease(store)).stable).toEqual(two);
  expect((await run(['rollback', 'config', '--to', 'ffffffffffff'])).errors).toContain('no upload');
  expect((await run(['rollback', 'config', '--to', 'prod/nowhere.yaml'])).errors).toContain('there is no prod/nowhere.yaml');

  // The way back needs no database, and says what it could not write.
  const unaudited = await run(['rollback', 'config', '--to', one], { env: { DATABASE_URL: 'postgres://x@127.0.0.1:1/x' } });
  expect([unaudited.code, unaudited.errors]).toEqual([0, expect.stringContaining('config.rollout.rollback')]);
  fleet.silent.add(0);
  expect(await run(['rollback', 'config', '--to', revision, '--gateways', fleet.urls, '--wait', '100ms'])).toMatchObject({ code: 1, out: expect.stringContaining('1 replica not yet') as string });
}, 30_000);

test('status shows every replica and the store, and fails when one is not as it should be', async () => {
  const well = await run(['status', '--gateways', fleet.urls], { env: { LITELLM_MASTER_KEY: MASTER_KEY } });
  expect([well.code, well.out]).toEqual([0, expect.stringMatching(/Store\n +stable +[0-9a-f]{12} +prod\/config\.yaml[^]*Replicas \(4\)[^]*yes +[0-9a-f]{12} +stable +2026-11-23T10:00:00\.000Z +knn-router v42 \(v42-abcdef\)[^]*Every replica serves what it should\./)]);
  expect((await run(['status'])).out).not.toContain('Replicas');
  expect((await run(['status', '--gateways', fleet.urls], { env: { OBJECT_STORE_URL: '', S3_BUCKET: '' } })).code).toBe(0);

  await store.put('prod/release.json', JSON.stringify({ stable: { config_key: 'prod/config.yaml' }, canary: { config_key: 'prod/other.yaml', percent: 25, started_at: '2026-11-23T10:00:00Z', started_by: 'ada' } }));
  await store.put('prod/other.yaml', config('other'));
  await eventually(() => expect(new Set(fleet.revisions()).size).toBe(2));
  expect(await run(['status', '--gateways', fleet.urls])).toMatchObject({ code: 0, out: expect.stringMatching(/canary +[0-9a-f]{12} +prod\/other\.yaml, 25 % since .* started by ada/) as string });

  fleet.silent.add(3);
  const json = await run(['status', '--gateways', fleet.urls.split(',').slice(2).join(','), '--json']);
  expect([json.code, JSON.parse(json.out)]).toMatchObject([1, { well: false, store: { canary: { percent: 25 } }, replicas: [{ ready: true, which: 'stable' }, { problem: expect.stringContaining('fetch failed') as string }] }]);
  await store.stop();
  expect(await run(['status', '--gateways', fleet.urls.split(',')[0] ?? ''])).toMatchObject({ code: 1, out: expect.stringContaining('Store: object store:') as string });
  await store.restart();
  expect((await run(['status'], { env: { OBJECT_STORE_URL: '', S3_BUCKET: '' } })).errors).toContain('--gateways');
}, 30_000);
