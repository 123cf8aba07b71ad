import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ModelRegistryError, type ModelRegistry, type NewVersion } from './model-registry.ts';

export interface RegistryUnderTest extends AsyncDisposable {
  readonly registry: ModelRegistry;
  /** Another program at the same registry. */
  readonly other: ModelRegistry;
}

const digestOf = (letter: string): string => letter.repeat(64);
const kindOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: unknown) => (error instanceof ModelRegistryError ? error.kind : `not ours: ${String(error)}`));

/** What every registry promises. Names are new for each run: a real server remembers earlier ones. */
export function describeModelRegistry(what: string, start: () => Promise<RegistryUnderTest>): void {
  describe(what, () => {
    let under: RegistryUnderTest;
    let registry: ModelRegistry;
    const unique = randomBytes(4).toString('hex');
    const experiment = `routers-${unique}`;
    beforeAll(async () => {
      under = await start();
      registry = under.registry;
    }, 120_000);
    afterAll(() => under[Symbol.asyncDispose]());

    const newVersion = async (name: string, version: string, digest = 'a', from = registry): Promise<NewVersion> => ({
      name: `${name}-${unique}`, version, digest: digestOf(digest), datasetSha256: digestOf('d'), artifactUrl: `s3://bucket/models/${name}-${version}`, registeredBy: 'ada',
      runId: (await from.startRun({ experiment, name: version })).id,
    });

    test('a run takes params, metrics and artifacts, and ends', async () => {
      const run = await registry.startRun({ experiment, name: 'first', tags: { strategy: 'llmrouter-knn' } });
      expect(run).toMatchObject({ experiment, id: expect.any(String) as string });
      await registry.logFigures(run.id, { params: { seed: '7', k: '12' }, metrics: { auc: 0.83, loss: NaN } });
      await registry.logFigures(run.id, { metrics: { auc: 0.84 } });
      await registry.logFigures(run.id, { params: Object.fromEntries(Array.from({ length: 130 }, (_, index) => [`p${String(index)}`, String(index)])) });
      expect(await registry.logArtifact(run.id, 'report/card.md', '# Card\n')).toBe('stored');
      await registry.endRun(run.id, 'finished');
    });

    test('two who start the first run of an experiment both get one', async () => {
      const runs = await Promise.all([registry, under.other].map((each) => each.startRun({ experiment: `shared-${unique}`, name: 'x' })));
      expect(new Set(runs.map(({ id }) => id)).size).toBe(2);
    });

    test('a version is found with what it was made of; registering it again changes nothing', async () => {
      const wanted = await newVersion('knn', 'v1');
      expect(await registry.find(wanted.name, 'v1')).toBeUndefined();
      const first = await registry.register(wanted);
      expect(first).toMatchObject({ isNew: true, version: { ...wanted, aliases: [], deployed: undefined } });
      expect(Date.parse(first.version.registeredAt)).toBeGreaterThan(0);
      expect(await under.other.register({ ...wanted, registeredBy: 'bob' })).toEqual({ isNew: false, version: first.version });
      expect(await under.other.find(wanted.name, 'v1')).toEqual(first.version);
    });

    test('a version is never two things', async () => {
      const wanted = await newVersion('two', 'v1', 'a');
      await registry.register(wanted);
      expect(await kindOf(registry.register({ ...wanted, digest: digestOf('b') }))).toBe('conflict');
      expect((await registry.list(wanted.name)).map(({ digest }) => digest)).toEqual([digestOf('a')]);
    });

    test('of two who register the same version at once one wins, and versions registered at once are all there', async () => {
      const racing = await Promise.all([newVersion('race', 'v1', 'a'), newVersion('race', 'v1', 'b', under.other)]);
      const kinds = await Promise.all(racing.map((wanted, index) => kindOf((index === 0 ? registry : under.other).register(wanted))));
      expect(kinds.toSorted()).toEqual(['conflict', 'no error']);
      const many = await Promise.all(['v2', 'v3', 'v4', 'v10'].map((version) => newVersion('race', version)));
      await Promise.all(many.map((wanted, index) => (index % 2 === 0 ? registry : under.other).register(wanted)));
      expect((await registry.list(racing[0].name)).map(({ version }) => version)).toEqual(['v1', 'v2', 'v3', 'v4', 'v10']);
    });

    test('an alias moves from version to version, and goes', async () => {
      const [one, two] = [await newVersion('alias', 'v1', 'a'), await newVersion('alias', 'v2', 'b')];
      await registry.register(one);
      await registry.register(two);
      await registry.setAlias(one.name, 'champion', 'v1');
      await registry.setAlias(one.name, 'challenger', 'v2');
      await registry.setAlias(one.name, 'champion', 'v2');
      expect((await under.other.list(one.name)).map(({ version, aliases }) => [version, aliases])).toEqual([['v1', []], ['v2', ['challenger', 'champion']]]);
      await registry.setAlias(one.name, 'challenger', undefined);
      await registry.setAlias(one.name, 'challenger', undefined);
      expect((await registry.find(one.name, 'v2'))?.aliases).toEqual(['champion']);
      expect(await kindOf(registry.setAlias(one.name, 'champion', 'v9'))).toBe('not_found');
    });

    test('what was deployed last is told of a version', async () => {
      const wanted = await newVersion('deployed', 'v1');
      await registry.register(wanted);
      const deployed = { environment: 'prod', percent: 50, actor: 'ada', at: '2026-11-23T10:00:00.000Z' };
      await registry.markDeployed(wanted.name, 'v1', { ...deployed, percent: 5 });
      await registry.markDeployed(wanted.name, 'v1', deployed);
      expect((await under.other.find(wanted.name, 'v1'))?.deployed).toEqual(deployed);
      expect(await kindOf(registry.markDeployed(wanted.name, 'v2', deployed))).toBe('not_found');
    });

    test('nobody registered: an empty list', async () => {
      expect(await registry.list(`nobody-${unique}`)).toEqual([]);
      expect(await registry.find(`nobody-${unique}`, 'v1')).toBeUndefined();
    });

    test('a run that is not there, and names that are paths, are refused', async () => {
      expect(['not_found', 'refused']).toContain(await kindOf(registry.logFigures('0123456789abcdef0123456789abcdef', { metrics: { a: 1 } })));
      expect(await kindOf(registry.list('../secrets'))).toBe('refused');
      expect(await kindOf(registry.find('a', "v1' OR name LIKE '%"))).toBe('refused');
      const run = await registry.startRun({ experiment, name: 'paths' });
      expect(await kindOf(registry.logArtifact(run.id, '../../card.md', 'x'))).toBe('refused');
    });

    test('a caller that gives up is told why', async () => {
      const reason = new Error('enough');
      await expect(registry.list(`knn-${unique}`, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    });
  });
}
