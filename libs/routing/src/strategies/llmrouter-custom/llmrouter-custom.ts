import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { AppError, describeUnknown } from '@pointsman/errors';
import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import { textArg } from '../../strategy-args.ts';
import type { RoutingDecision, Strategy, StrategyParts } from '../../strategy.ts';

const NAME = 'llmrouter-custom';
/** For a module that never finishes what it does at its top or in `createStrategy`. */
const LOAD_TIMEOUT_MS = 10_000;

/**
 * An operator's own strategy. With `model_name`: their own signed artifact, any columns, under the machinery of the strategies that learn. With `module`: a JavaScript
 * module whose default export `createStrategy(parts)` makes a `Strategy` (or a promise of one); a `file:` URL, an absolute path, or one relative to the folder of the
 * configuration. A module is code that runs in the gateway, so it is loaded only where the environment says `ALLOW_CUSTOM_STRATEGY_MODULES=true`.
 *
 * What a module decides is held to what every strategy is held to: an order of the candidates, finite scores, a propensity, within `decision_timeout_ms`. It cannot be
 * interrupted while it computes. The name of its decisions is `llmrouter-custom`.
 * @throws AppError for a module that may not be loaded, cannot be, or makes no strategy
 */
export async function createStrategy(parts: StrategyParts): Promise<Strategy> {
  const module = textArg(parts.args, 'module');
  if (module === undefined) return createLearnedStrategy(NAME, parts);
  if (textArg(parts.args, 'model_name') !== undefined) throw refused('names a module beside model_name: one of the two decides.');
  if (parts.modules?.allowed !== true) throw refused('names a module, which is code: it is loaded only where the environment says ALLOW_CUSTOM_STRATEGY_MODULES=true.');
  const made = await load(urlOf(module, parts.modules.directory), parts);
  return {
    name: NAME,
    decide(input) {
      const decision = made.decide(input);
      return isPromise(decision) ? decision.then(named) : named(decision);
    },
  };
}

async function load(url: string, parts: StrategyParts): Promise<Strategy> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not load within ${LOAD_TIMEOUT_MS / 1000} s`)), LOAD_TIMEOUT_MS);
  });
  try {
    return await Promise.race([make(url, parts), late]);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw refused(`cannot be loaded: ${describeUnknown(error)}`, error);
  } finally {
    clearTimeout(timer);
  }
}

async function make(url: string, parts: StrategyParts): Promise<Strategy> {
  const { default: create } = (await import(url)) as { readonly default?: unknown };
  if (typeof create !== 'function') throw refused('has no default export createStrategy(parts).');
  const strategy: unknown = await (create as (parts: StrategyParts) => unknown)(parts);
  if (typeof strategy !== 'object' || strategy === null || typeof (strategy as { readonly decide?: unknown }).decide !== 'function') throw refused('makes no strategy: an object with decide(input) was expected.');
  return strategy as Strategy;
}

/** A decision of its own name would look like another strategy's in every chart. What is no decision at all is found where every decision is checked. */
function named(decision: RoutingDecision): RoutingDecision {
  return typeof decision === 'object' && decision !== null ? { ...decision, strategy: NAME, modelVersion: typeof decision.modelVersion === 'string' ? decision.modelVersion : '', compound: undefined, explained: undefined } : decision;
}

function urlOf(module: string, directory: string | undefined): string {
  if (module.startsWith('file:')) {
    try {
      return pathToFileURL(fileURLToPath(module)).href;
    } catch (error) {
      throw refused('is no file URL.', error);
    }
  }
  if (isAbsolute(module)) return pathToFileURL(module).href;
  if (/^[a-z][a-z0-9+.-]*:/i.test(module)) throw refused('must be a file: modules are not loaded from anywhere else.');
  if (directory === undefined) throw refused('is relative, and the folder of the configuration is not known here: name an absolute path.');
  return pathToFileURL(resolve(directory, module)).href;
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { readonly then?: unknown }).then === 'function';
}

function refused(message: string, cause?: unknown): AppError {
  return new AppError('invalid_request', 'invalid_strategy_argument', `routing_strategy_args.module ${message}`, { param: 'router_settings.routing_strategy_args.module', ...(cause === undefined ? {} : { cause }) });
}
