import { describeUnknown } from '@pointsman/errors';
import type { RouterSettings } from '@pointsman/gateway-config';
import { LiveValue } from '@pointsman/live-value';
import { createFeatureExtractor, loadRouterModel, shippedRouterDirectory, type FeatureExtractor, type RouterModel, type RouterModels } from '@pointsman/routing';
import type { Logger } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import { createModelStore, type ModelSlot, type ModelStore, type ModelStoreEvents } from './model-store.ts';
import { modelPreparation } from './model-preparation.ts';
import { modelsOfConfig } from './models-of-config.ts';

export interface RouterModelsSettings {
  readonly modelsDir: string;
  /** Makes the embeddings of every model that wants one; models without embeddings run beside any. */
  readonly embedder: 'none' | 'static' | 'minilm';
  readonly minilmDirectory: string | undefined;
  /** Of a head's file, bytes. */
  readonly maxBytes: number;
  /** For the self-test and the load of a model each. */
  readonly prepareTimeoutMs: number;
}

export interface OpenRouterModelsOptions {
  readonly settings: RouterModelsSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: ModelStoreEvents;
}

/** The router models of this process: what strategies borrow, and what a configuration is followed by. */
export interface OpenRouterModels extends RouterModels {
  /** Brings what a configuration names; resolves when each of them serves, is refused or is not there. Never rejects. */
  follow(router: RouterSettings): Promise<void>;
  /** Looks at the disk again. */
  refresh(reason: string): Promise<void>;
  report: ModelStore['report'];
  close(): Promise<void>;
}

/** Nothing is loaded before a configuration names a strategy that learns: a gateway without one maps no runtime and reads no table. */
export function openRouterModels({ settings, clock, logger, events }: OpenRouterModelsOptions): OpenRouterModels {
  const problems = logger.oncePerState('router models');
  const extractors: FeatureExtractor[] = [];
  let opening: Promise<void> | undefined;
  let store: ModelStore | undefined;
  let shipped: LiveValue<RouterModel> | undefined;
  let shippedOpening: Promise<void> | undefined;
  const slots = new Map<string, ModelSlot>();
  let closed = false;

  /** The extractors and the store: once, when first needed. */
  const open = async (): Promise<void> => {
    const main = await createFeatureExtractor({ embedder: settings.embedder, ...(settings.minilmDirectory === undefined ? {} : { minilmDirectory: settings.minilmDirectory }) });
    extractors.push(main);
    if (settings.embedder !== 'none') extractors.push(await createFeatureExtractor({ embedder: 'none' }));
    store = createModelStore({
      modelsDir: settings.modelsDir, clock, logger, events,
      prepare: modelPreparation({
        maxBytes: settings.maxBytes, timeoutMs: settings.prepareTimeoutMs, expect: { featureVersion: main.version, embedder: main.embedder },
        extractorOptions: settings.minilmDirectory === undefined ? undefined : { minilmDirectory: settings.minilmDirectory },
      }),
    });
  };

  const openShipped = async (): Promise<void> => {
    const model = await loadRouterModel(shippedRouterDirectory, { maxBytes: settings.maxBytes });
    shipped = new LiveValue(model, (old) => void old.close());
    logger.info('shipped router model serves', { model: model.manifest.name, revision: model.revision });
  };

  return {
    acquire(name, version) {
      if (name === undefined) return shipped?.acquire();
      if (store === undefined) return undefined;
      const key = `${name}\0${version ?? ''}`;
      let slot = slots.get(key);
      if (slot === undefined) slots.set(key, slot = store.slot(name, version));
      return slot.acquire();
    },
    extractor: ({ name, sha256, dimensions }) => extractors.find(({ embedder }) => embedder.name === name && embedder.sha256 === sha256 && embedder.dimensions === dimensions),
    async follow(router) {
      const wanted = modelsOfConfig(router);
      if (closed || (wanted.named.length === 0 && !wanted.shipped && store === undefined)) return;
      try {
        await (opening ??= open());
        if (wanted.shipped) await (shippedOpening ??= openShipped());
        problems.change('well', 'debug', 'router models can be loaded');
      } catch (error) {
        // Strategies decide by what is believed of their candidates until the next configuration tries again.
        [opening, shippedOpening] = [store === undefined ? undefined : opening, shipped === undefined ? undefined : shippedOpening];
        problems.change('failed', 'error', 'router models cannot be loaded', { reason: describeUnknown(error) });
      }
      await store?.want(wanted.named);
    },
    async refresh(reason) {
      await store?.refresh(reason);
    },
    report: () => store?.report() ?? { models: [], rejected_models: [] },
    async close() {
      closed = true;
      await Promise.all([opening, shippedOpening].map((pending) => pending?.catch(() => undefined)));
      await store?.close();
      shipped?.close();
      await Promise.all(extractors.map((extractor) => extractor.close()));
    },
  };
}
