import { context, diag, logs, ROOT_CONTEXT, trace, type ContextManager } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.ts';
import { MAX_ATTRIBUTES, MAX_EVENTS, MAX_STRING_LENGTH } from './recorded-span.ts';
import { toSdkSampler, type Sampler } from './sampler.ts';

const MAX_LINKS = 32;
/** Answers every question about the active context with the root one. */
const NO_CONTEXT_MANAGER: ContextManager = {
  active: () => ROOT_CONTEXT,
  with: (_context, body, thisArg, ...args) => body.call(thisArg, ...args),
  bind: (_context, target) => target,
  enable: () => NO_CONTEXT_MANAGER,
  disable: () => NO_CONTEXT_MANAGER,
};

export interface LibrarySpansSettings {
  readonly processor: SpanProcessor;
  readonly resource: Resource;
  readonly sampler: Sampler;
  readonly logger: Logger;
}

export interface LibrarySpans {
  /** Resolves when spans of libraries are recorded. Never rejects: a failure is logged, and libraries then stay untraced. */
  readonly ready: Promise<void>;
  /** Takes the SDK out of `@opentelemetry/api` and sends what waits. Never rejects. */
  shutdown(): Promise<void>;
}

/**
 * Records the spans that libraries make through `@opentelemetry/api` (AI SDK, AWS SDK, …) and hands them to `processor`. The SDK is loaded only here:
 * some 130 ms and 10 MB that a process without a receiver does not pay.
 *
 * The SDK reads the environment wherever it is given nothing, so it is given everything: no metrics, no logs, no propagators, no resource detectors,
 * our limits and our sampler. What no option can turn off: `OTEL_SDK_DISABLED=true` still leaves libraries (not our own spans) untraced, and
 * `OTEL_LOG_LEVEL=debug` still prints two lines of plain text at start.
 * Its context manager stays off: following every promise of the process costs each request some microseconds, and what it would buy is that a span
 * which a library starts after an await keeps its parent.
 */
export function startLibrarySpans({ processor, resource, sampler, logger }: LibrarySpansSettings): LibrarySpans {
  let stopped = false;
  let shutdownSdk = (): Promise<void> => Promise.resolve();

  async function load(): Promise<void> {
    const { NodeSDK } = await import('@opentelemetry/sdk-node');
    if (stopped) return;
    const sdk = new NodeSDK({
      resource,
      autoDetectResources: false,
      sampler: toSdkSampler(sampler),
      spanProcessors: [processor],
      spanLimits: {
        attributeCountLimit: MAX_ATTRIBUTES,
        attributeValueLengthLimit: MAX_STRING_LENGTH,
        eventCountLimit: MAX_EVENTS,
        linkCountLimit: MAX_LINKS,
        attributePerEventCountLimit: MAX_ATTRIBUTES,
        attributePerLinkCountLimit: MAX_ATTRIBUTES,
      },
      // Empty, not absent: absent means an exporter for each, at its default address.
      metricReaders: [],
      logRecordProcessors: [],
      instrumentations: [],
      textMapPropagator: null,
      contextManager: NO_CONTEXT_MANAGER,
    });
    // With OTEL_LOG_LEVEL set, the constructor has the SDK write plain text between our JSON lines.
    diag.disable();
    sdk.start();
    shutdownSdk = async () => {
      trace.disable();
      context.disable();
      logs.disable();
      await sdk.shutdown();
    };
  }

  const ready = load().catch((error: unknown) => logger.error('spans of libraries are not recorded', { error }));
  return {
    ready,
    async shutdown() {
      stopped = true;
      // A failed export was counted and logged where it happened.
      await shutdownSdk().catch(() => undefined);
    },
  };
}
