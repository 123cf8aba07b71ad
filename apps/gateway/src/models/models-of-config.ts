import type { RouterSettings } from '@pointsman/gateway-config';
import { strategyDefinition } from '@pointsman/routing';
import type { WantedModel } from './model-store.ts';

export interface WantedModels {
  /** Models by name and version, the one that serves most first; canaries after. */
  readonly named: readonly WantedModel[];
  /** Some strategy that learns names no model: it is served by the one that ships with the product. */
  readonly shipped: boolean;
}

/** Strategies that do without a model where none is named. */
const WITHOUT_SHIPPED: ReadonlySet<string> = new Set(['llmrouter-automix', 'llmrouter-custom', 'llmrouter-causallm', 'llmrouter-smallest', 'llmrouter-largest']);

/** The router models that the strategies of a configuration decide by. */
export function modelsOfConfig({ strategy, strategyArgs, strategies }: Pick<RouterSettings, 'strategy' | 'strategyArgs' | 'strategies'>): WantedModels {
  const stable: WantedModel[] = [];
  const canaries: WantedModel[] = [];
  let shipped = false;
  for (const { strategy: name, args } of [{ strategy, args: strategyArgs }, ...Object.values(strategies)]) {
    if (strategyDefinition(name)?.readsPrompt !== true) continue;
    const model = textOf(args['model_name']);
    if (model === undefined) {
      // These have rules or code of their own where no model is named.
      if (!WITHOUT_SHIPPED.has(name)) shipped = true;
      continue;
    }
    stable.push({ name: model, version: textOf(args['model_version']) });
    const { canary } = args;
    const version = typeof canary === 'object' && canary !== null && !Array.isArray(canary) ? textOf(canary['model_version']) : undefined;
    if (version !== undefined) canaries.push({ name: model, version });
  }
  const seen = new Set<string>();
  const named = [...stable, ...canaries].filter(({ name, version }) => {
    const key = `${name}\0${version ?? ''}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
  return { named, shipped };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
