import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelRefusedError, type RouterModel } from '@pointsman/routing';
import type { ModelManifest } from '@pointsman/schemas';
import { createLogger, createMetrics } from '@pointsman/telemetry';
import { eventually, temporaryDirectory } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { describe, expect, test } from 'vitest';
import { modelMetrics } from './model-metrics.ts';
import { createModelStore, type ModelStore, type ModelStoreEvents, type ModelStoreParts } from './model-store.ts';

/** A prepared model of which the test sees when it is closed. */
interface FakeModel extends RouterModel {
  closed: boolean;
}

interface Bench extends AsyncDisposable {
  readonly store: ModelStore;
  readonly clock: ManualClock;
  readonly prepared: FakeModel[];
  readonly events: string[];
  readonly lines: { readonly msg: string; readonly level: string; readonly reason?: string }[];
  readonly modelsDir: string;
  /** Revisions whose preparation fails, with what. */
  readonly bad: Map<string, Error>;
  /** Revisions whose preparation waits until it is told, or stopped. */
  readonly held: Map<string, PromiseWithResolvers<void>>;
  publish(version: string, digit: string, options?: { readonly current?: boolean; readonly name?: string }): Promise<string>;
}

const revisionOf = (version: string, digit: string): string => `${version}-${digit.repeat(12)}`;

async function bench(parts: Partial<ModelStoreParts> = {}): Promise<Bench> {
  const directory = await temporaryDirectory();
  const clock = new ManualClock();
  const prepared: FakeModel[] = [];
  const events: string[] = [];
  const lines: Bench['lines'] = [];
  const bad = new Map<string, Error>();
  const held = new Map<string, PromiseWithResolvers<void>>();
  const store = createModelStore({
    modelsDir: directory.path, clock, logger: createLogger({ service: 'test', level: 'info', write: (line) => void lines.push(JSON.parse(line) as Bench['lines'][number]) }), pollMs: 1_000_000,
    prepare: async (path, signal) => {
      const revision = path.split('/').at(-1) ?? '';
      events.push(`prepare ${revision}`);
      const wait = held.get(revision);
      if (wait !== undefined) await Promise.race([wait.promise, new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))]);
      const problem = bad.get(revision);
      if (problem !== undefined) throw problem;
      const model: FakeModel = {
        revision, bytes: 1, closed: false, manifest: { name: path.split('/').at(-3), version: revision.slice(0, -13) } as ModelManifest,
        async predict() {
          if (model.closed) throw new Error('closed');
          return Float32Array.of(1);
        },
        async close() {
          model.closed = true;
          events.push(`close ${revision}`);
        },
      };
      prepared.push(model);
      return model;
    },
    events: { applied: ({ revision }, previous) => events.push(`apply ${revision} after ${previous?.revision ?? 'none'}`), refused: (_model, revision, refusal) => events.push(`refuse ${revision} ${refusal}`) } satisfies ModelStoreEvents,
    ...parts,
  });
  return {
    store, clock, prepared, events, lines, bad, held, modelsDir: directory.path,
    async publish(version, digit, { current = true, name = 'knn' } = {}) {
      const revision = revisionOf(version, digit);
      const root = join(directory.path, name);
      await mkdir(join(root, 'generations'), { recursive: true });
      await mkdir(join(root, '.staging-1'));
      await writeFile(join(root, '.staging-1', 'manifest.json'), '{}');
      await writeFile(join(root, '.staging-1', 'model.onnx'), revision);
      await rename(join(root, '.staging-1'), join(root, 'generations', revision));
      if (current) {
        await symlink(join('generations', revision), join(root, '.link-1'));
        await rename(join(root, '.link-1'), join(root, 'current'));
      }
      return revision;
    },
    async [Symbol.asyncDispose]() {
      for (const wait of held.values()) wait.resolve();
      await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const knn = (version?: string): { readonly name: string; readonly version: string | undefined } => ({ name: 'knn', version });

function servedBy(store: ModelStore, version?: string): string | undefined {
  using lease = store.slot('knn', version).acquire();
  return lease?.value.revision;
}

test('the wanted version serves and is reported', async () => {
  await using b = await bench();
  const revision = await b.publish('v42', 'a');
  expect(servedBy(b.store, 'v42')).toBeUndefined();
  await b.store.want([knn('v42')]);
  expect(servedBy(b.store, 'v42')).toBe(revision);
  expect(b.store.report()).toEqual({ models: [{ name: 'knn', version: 'v42', revision, applied_at: '2023-11-14T22:13:20.000Z' }], rejected_models: [] });
  expect(b.events).toEqual([`prepare ${revision}`, `apply ${revision} after none`]);
});

test('a version that is not there yet is served as soon as it is published, with no call', async () => {
  await using b = await bench();
  await b.store.want([knn('v42')]);
  expect(b.lines).toContainEqual(expect.objectContaining({ level: 'warn', msg: 'model is not there yet' }));
  const revision = await b.publish('v42', 'a', { current: false });
  await eventually(() => expect(servedBy(b.store, 'v42')).toBe(revision));
});

test('without a version what current points to serves, and a move of the link is followed', async () => {
  await using b = await bench();
  const first = await b.publish('v1', 'a');
  await b.store.want([knn()]);
  expect(servedBy(b.store)).toBe(first);
  const second = await b.publish('v2', 'b');
  await eventually(() => expect(servedBy(b.store)).toBe(second));
});

test('of two generations of the wanted version the published one serves, else the newest', async () => {
  await using b = await bench();
  const published = await b.publish('v1', 'a');
  const newer = await b.publish('v1', 'b', { current: false });
  await utimes(join(b.modelsDir, 'knn', 'generations', newer), new Date(), new Date(Date.now() + 60_000));
  await b.store.want([knn('v1')]);
  expect(servedBy(b.store, 'v1')).toBe(published);
  await b.publish('v2', 'c');
  await b.store.refresh('test');
  expect(servedBy(b.store, 'v1')).toBe(newer);
});

test('v4 does not serve for v42, nor v4-rc1 for v4', async () => {
  await using b = await bench();
  await b.publish('v42', 'a', { current: false });
  await b.publish('v4-rc1', 'b', { current: false });
  await b.store.want([knn('v4')]);
  expect(servedBy(b.store, 'v4')).toBeUndefined();
});

test('a name that is a path finds nothing', async () => {
  await using b = await bench();
  await b.publish('v1', 'a');
  await b.store.want([{ name: '../knn', version: 'v1' }, { name: '__proto__', version: 'v1' }]);
  expect(b.store.report().models).toEqual([]);
});

describe('while the wanted version cannot serve', () => {
  test('a gateway that has just started serves what was confirmed, and the wanted one as soon as it can', async () => {
    await using b = await bench();
    const confirmed = await b.publish('v1', 'a');
    await symlink(join('generations', confirmed), join(b.modelsDir, 'knn', 'confirmed'));
    const broken = await b.publish('v2', 'b');
    b.bad.set(broken, new ModelRefusedError('golden_mismatch', 'It answers something else.'));
    await b.store.want([knn('v2')]);
    expect(servedBy(b.store, 'v2')).toBe(confirmed);
    expect(b.store.report()).toMatchObject({ models: [{ version: 'v1', revision: confirmed }], rejected_models: [{ revision: broken }] });
    const repaired = await b.publish('v2', 'c');
    await b.store.refresh('SIGHUP');
    expect(servedBy(b.store, 'v2')).toBe(repaired);
  });

  test('a gateway that has just started serves what is current while the wanted version is missing, and tries a bad one once', async () => {
    await using b = await bench();
    const current = await b.publish('v1', 'a');
    const confirmed = await b.publish('v0', 'b', { current: false });
    await symlink(join('generations', confirmed), join(b.modelsDir, 'knn', 'confirmed'));
    b.bad.set(confirmed, new ModelRefusedError('not_onnx', 'It is garbage.'));
    b.bad.set(current, new ModelRefusedError('no_memory', 'No room.'));
    await b.store.want([knn('v2')]);
    await b.store.refresh('SIGHUP');
    expect(servedBy(b.store, 'v2')).toBeUndefined();
    b.bad.delete(current);
    b.clock.advance(30_000);
    await b.store.refresh('poll');
    expect(servedBy(b.store, 'v2')).toBe(current);
    expect(b.events.filter((event) => event.startsWith('prepare'))).toEqual([`prepare ${confirmed}`, `prepare ${current}`, `prepare ${current}`]);
  });

  test('the last good one serves on, and a refusal is told once and not tried again for a signal', async () => {
    await using b = await bench();
    const good = await b.publish('v1', 'a');
    await b.store.want([knn('v1')]);
    const broken = await b.publish('v2', 'b');
    b.bad.set(broken, new ModelRefusedError('golden_mismatch', 'It answers something else.'));
    await b.store.want([knn('v2')]);
    expect(servedBy(b.store, 'v2')).toBe(good);
    await b.store.refresh('SIGHUP');
    await b.store.refresh('SIGHUP');
    expect(b.events.filter((event) => event === `prepare ${broken}`)).toHaveLength(1);
    expect(b.lines.filter(({ msg }) => msg === 'model rejected')).toEqual([expect.objectContaining({ level: 'error', reason: 'It answers something else.', serving_revision: good })]);
    expect(b.store.report()).toMatchObject({ models: [{ revision: good }], rejected_models: [{ name: 'knn', version: 'v2', revision: broken, reason: 'It answers something else.' }] });
    expect(b.prepared[0]?.closed).toBe(false);
  });

  test('it is tried again after ten minutes, and when its files change', async () => {
    await using b = await bench();
    const broken = await b.publish('v2', 'b');
    b.bad.set(broken, new ModelRefusedError('timeout', 'Too slow.'));
    await b.store.want([knn('v2')]);
    b.clock.advance(599_000);
    await b.store.refresh('poll');
    expect(b.events.filter((event) => event.startsWith('prepare'))).toHaveLength(1);
    b.clock.advance(1_000);
    await b.store.refresh('poll');
    expect(b.events.filter((event) => event.startsWith('prepare'))).toHaveLength(2);
    b.bad.clear();
    await writeFile(join(b.modelsDir, 'knn', 'generations', broken, 'model.onnx'), 'repaired');
    await b.store.refresh('SIGHUP');
    expect(servedBy(b.store, 'v2')).toBe(broken);
    expect(b.store.report().rejected_models).toEqual([]);
  });

  test('a want of memory is tried again after half a minute', async () => {
    await using b = await bench();
    const revision = await b.publish('v2', 'b');
    b.bad.set(revision, new ModelRefusedError('no_memory', 'No room.'));
    await b.store.want([knn('v2')]);
    b.bad.clear();
    b.clock.advance(30_000);
    await b.store.refresh('poll');
    expect(servedBy(b.store, 'v2')).toBe(revision);
  });

  test('a generation that is replaced by a better one is not held against the version', async () => {
    await using b = await bench();
    b.bad.set(await b.publish('v2', 'b'), new Error('anything'));
    await b.store.want([knn('v2')]);
    const repaired = await b.publish('v2', 'c');
    await b.store.refresh('SIGHUP');
    expect(servedBy(b.store, 'v2')).toBe(repaired);
  });

  test('the manifest of another model in its place is refused', async () => {
    await using b = await bench();
    const prepare: ModelStoreParts['prepare'] = async (path) => ({ revision: path.split('/').at(-1) ?? '', bytes: 1, manifest: { name: 'other', version: 'v1' } as ModelManifest, predict: async () => new Float32Array(1), close: async () => void b.events.push('closed') });
    const store = createModelStore({ modelsDir: b.modelsDir, clock: b.clock, logger: createLogger({ service: 'test', level: 'silent', write: () => {} }), prepare });
    await b.publish('v1', 'a');
    await store.want([knn('v1')]);
    expect(store.report().rejected_models).toMatchObject([{ reason: 'The manifest is of other v1.' }]);
    await store.close();
    expect(b.events).toEqual(['closed']);
  });
});

describe('a swap', () => {
  test('closes the old model only after its last request and its time as a spare', async () => {
    await using b = await bench({ keepPreviousMs: 0 });
    const first = await b.publish('v1', 'a');
    await b.store.want([knn('v1')]);
    const slot = b.store.slot('knn', 'v1');
    const lease = slot.acquire();
    const second = await b.publish('v2', 'b');
    await b.store.want([knn('v2')]);
    expect(servedBy(b.store, 'v2')).toBe(second);
    // A request of the old snapshot that begins now is served by the model that is there.
    using late = slot.acquire();
    expect(late?.value.revision).toBe(second);
    expect(b.prepared[0]).toMatchObject({ revision: first, closed: false });
    await expect(lease?.value.predict({} as never)).resolves.toBeDefined();
    lease?.release();
    expect(b.prepared[0]?.closed).toBe(true);
  });

  test('back within a minute takes no preparation; after it the old model is gone', async () => {
    await using b = await bench({ keepPreviousMs: 60_000 });
    const first = await b.publish('v1', 'a');
    await b.publish('v2', 'b');
    await b.store.want([knn('v1')]);
    await b.store.want([knn('v2')]);
    await b.store.want([knn('v1')]);
    expect(servedBy(b.store, 'v1')).toBe(first);
    expect(b.prepared).toHaveLength(2);
    b.clock.advance(60_000);
    await b.store.refresh('poll');
    expect(b.prepared.map(({ closed }) => closed)).toEqual([false, true]);
  });

  test('never keeps a spare beside a model that is being prepared', async () => {
    await using b = await bench();
    await b.publish('v1', 'a');
    await b.publish('v2', 'b');
    await b.publish('v3', 'c');
    for (const version of ['v1', 'v2', 'v3']) await b.store.want([knn(version)]);
    const [closed, prepared] = [`close ${revisionOf('v1', 'a')}`, `prepare ${revisionOf('v3', 'c')}`];
    expect(b.events.filter((event) => event === closed || event === prepared)).toEqual([closed, prepared]);
  });

  test('under load fails no prediction', async () => {
    await using b = await bench({ keepPreviousMs: 0 });
    await b.publish('v1', 'a');
    await b.store.want([knn()]);
    const slot = b.store.slot('knn', undefined);
    let running = true;
    let answers = 0;
    const load = Promise.all(Array.from({ length: 20 }, async () => {
      while (running) {
        using lease = slot.acquire();
        await new Promise((resolve) => setImmediate(resolve));
        await lease!.value.predict({} as never);
        answers += 1;
      }
    }));
    for (const [index, digit] of ['b', 'c', 'd', 'e', 'f'].entries()) {
      const revision = await b.publish(`v${index + 2}`, digit);
      await eventually(() => expect(servedBy(b.store)).toBe(revision));
    }
    running = false;
    await load;
    expect(answers).toBeGreaterThan(100);
    await eventually(() => expect(b.prepared.map(({ closed }) => closed)).toEqual([true, true, true, true, true, false]));
  });
});

test('a canary is served beside the main version, and only the main one stands in for what is missing', async () => {
  await using b = await bench();
  const main = await b.publish('v1', 'a');
  const canary = await b.publish('v2', 'b', { current: false });
  await b.store.want([knn('v1'), knn('v2')]);
  expect([servedBy(b.store, 'v1'), servedBy(b.store, 'v2'), servedBy(b.store, 'v3')]).toEqual([main, canary, main]);
  expect(b.store.report().models.map(({ revision }) => revision)).toEqual([main, canary]);
});

test('the latest wish wins over a preparation that runs', async () => {
  await using b = await bench();
  const slow = await b.publish('v1', 'a');
  const wanted = await b.publish('v2', 'b');
  b.held.set(slow, Promise.withResolvers());
  const first = b.store.want([knn('v1')]);
  await eventually(() => expect(b.events).toContain(`prepare ${slow}`));
  await b.store.want([knn('v2')]);
  await first;
  expect(servedBy(b.store, 'v2')).toBe(wanted);
  expect(b.events.filter((event) => event.startsWith('refuse'))).toEqual([]);
});

test('one preparation runs at a time', async () => {
  await using b = await bench();
  const [first, second] = [await b.publish('v1', 'a'), await b.publish('v2', 'b')];
  b.held.set(first, Promise.withResolvers());
  const done = b.store.want([knn('v1'), knn('v2')]);
  await eventually(() => expect(b.events).toContain(`prepare ${first}`));
  void b.store.refresh('SIGHUP');
  expect(b.events).not.toContain(`prepare ${second}`);
  b.held.get(first)?.resolve();
  await done;
  expect(servedBy(b.store, 'v2')).toBe(second);
});

test('closing stops a preparation and gives back every model', async () => {
  await using b = await bench();
  await b.publish('v1', 'a');
  const slow = await b.publish('v2', 'b', { current: false });
  await b.store.want([knn('v1')]);
  b.held.set(slow, Promise.withResolvers());
  const waiting = b.store.want([knn('v1'), knn('v2')]);
  await eventually(() => expect(b.events).toContain(`prepare ${slow}`));
  await b.store.close();
  await waiting;
  expect(b.prepared.map(({ closed }) => closed)).toEqual([true]);
  await b.store.want([knn('v1')]);
  expect(servedBy(b.store, 'v1')).toBeUndefined();
});

test('a models directory that vanishes leaves what serves', async () => {
  await using b = await bench();
  const revision = await b.publish('v1', 'a');
  await b.store.want([knn('v1')]);
  await rm(b.modelsDir, { recursive: true });
  await b.store.refresh('poll');
  expect(servedBy(b.store, 'v1')).toBe(revision);
});

test('metrics tell what is in memory and what was refused, every reason from the start', async () => {
  const metrics = createMetrics();
  await using b = await bench({ events: modelMetrics(metrics), keepPreviousMs: 0 });
  await b.publish('v1', 'a');
  await b.store.want([knn('v1')]);
  const { text } = await metrics.exposition();
  expect(text).toContain('gateway_model_info{name="knn",version="v1"} 1');
  expect(text).toContain('router_model_load_failures_total{reason="crashed"} 0');
  b.bad.set(await b.publish('v2', 'b'), new ModelRefusedError('crashed', 'Gone.'));
  await b.store.want([knn('v2')]);
  await b.publish('v3', 'c');
  await b.store.want([knn('v3')]);
  const { text: later } = await metrics.exposition();
  expect(later).toContain('router_model_load_failures_total{reason="crashed"} 1');
  expect(later).toContain('router_model_loads_total{name="knn"} 2');
  expect(later).not.toContain('gateway_model_info{name="knn",version="v1"}');
});
