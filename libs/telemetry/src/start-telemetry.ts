import { resourceFromAttributes } from '@opentelemetry/resources';
import { LineWriter } from './line-writer.ts';
import { startLibrarySpans } from './library-spans.ts';
import { createLogger, type Logger, type LogLevel } from './logger.ts';
import { createMetrics, type Metrics } from './metrics-registry.ts';
import { TELEMETRY_LOG_LINES_DROPPED } from './metric-names.ts';
import { createSampler, type SamplerName } from './sampler.ts';
import { startSpanExport } from './span-export.ts';
import { TraceIds } from './trace-ids.ts';
import { createTraces, type Traces } from './traces.ts';

export interface TelemetrySettings {
  /** `OTEL_SERVICE_NAME`: `service.name` of the spans and `service` of the log lines. */
  readonly serviceName: string;
  readonly serviceVersion: string;
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`, such as `http://collector:4318`. Without one, spans carry ids only and nothing is sent. */
  readonly otlpEndpoint?: string | undefined;
  /** `OTEL_EXPORTER_OTLP_HEADERS`, parsed. */
  readonly otlpHeaders?: Readonly<Record<string, string>> | undefined;
  /** `OTEL_TRACES_SAMPLER`; `parentbased_always_on` when absent. */
  readonly sampler?: SamplerName | undefined;
  /** `OTEL_TRACES_SAMPLER_ARG`: the share of traces to keep, 0 to 1, for the ratio samplers. */
  readonly samplerArg?: number | undefined;
  /** Further attributes of every span: `k8s.pod.name`, … */
  readonly resourceAttributes?: Readonly<Record<string, string>> | undefined;
  readonly logLevel: LogLevel;
  /** Where log lines go; standard output when absent. */
  readonly writeLine?: ((line: string) => void) | undefined;
  /** Default metrics of the process (CPU, memory, event loop lag, garbage collection); true when absent. */
  readonly processMetrics?: boolean | undefined;
}

export interface Telemetry {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly traces: Traces;
  /**
   * Resolves when spans that libraries make through `@opentelemetry/api` are recorded too; at once without an endpoint. Never rejects.
   * Wait for it before serving: until then, loading the SDK holds up the event loop.
   */
  readonly librariesTraced: Promise<void>;
  /** Sends the waiting spans for at most `timeoutMs` milliseconds and writes out the log. Never throws; the logger still works afterwards. */
  shutdown(timeoutMs: number): Promise<void>;
}

/** Starts logs, metrics and traces of this process from settings alone: the environment is not read here. */
export function startTelemetry(settings: TelemetrySettings): Telemetry {
  const metrics = createMetrics({ processMetrics: settings.processMetrics ?? true });
  const droppedLines = metrics.counter(TELEMETRY_LOG_LINES_DROPPED).labels();
  const stdout = settings.writeLine === undefined ? new LineWriter(1, () => droppedLines.inc()) : undefined;
  const flushLines = (): void => stdout?.flushSync();
  if (stdout !== undefined) process.once('exit', flushLines);
  const logger = createLogger({ service: settings.serviceName, level: settings.logLevel, write: settings.writeLine ?? ((line) => stdout?.write(line)) });
  const resource = resourceFromAttributes({ 'service.name': settings.serviceName, 'service.version': settings.serviceVersion, ...settings.resourceAttributes });
  const scope = { name: '@pointsman/telemetry', version: settings.serviceVersion };
  const spanExport = settings.otlpEndpoint === undefined ? undefined : startSpanExport({ endpoint: settings.otlpEndpoint, headers: settings.otlpHeaders ?? {}, origin: { resource, scope }, logger, metrics });
  const sampler = createSampler(settings.sampler ?? 'parentbased_always_on', settings.samplerArg ?? 1);
  const librarySpans = spanExport === undefined ? undefined : startLibrarySpans({ processor: spanExport.processor, resource, sampler, logger });
  const traces = createTraces({
    source: {
      ids: new TraceIds(),
      resource,
      scope,
      onEnd: (span) => spanExport?.add(span),
    },
    sampler,
    exporting: spanExport !== undefined,
  });
  return {
    logger,
    metrics,
    traces,
    librariesTraced: librarySpans?.ready ?? Promise.resolve(),
    async shutdown(timeoutMs) {
      // Not awaited: it ends with the queue both kinds of spans share, and only the wait for that one is bounded.
      void librarySpans?.shutdown();
      await spanExport?.shutdown(timeoutMs);
      flushLines();
    },
  };
}
