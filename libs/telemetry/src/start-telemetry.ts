import { resourceFromAttributes } from '@opentelemetry/resources';
import { LineWriter } from './line-writer.ts';
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
  const spanExport = settings.otlpEndpoint === undefined ? undefined : startSpanExport({ endpoint: settings.otlpEndpoint, headers: settings.otlpHeaders ?? {}, logger, metrics });
  const traces = createTraces({
    source: {
      ids: new TraceIds(),
      resource: resourceFromAttributes({ 'service.name': settings.serviceName, 'service.version': settings.serviceVersion, ...settings.resourceAttributes }),
      scope: { name: '@pointsman/telemetry', version: settings.serviceVersion },
      onEnd: (span) => spanExport?.add(span),
    },
    sampler: createSampler(settings.sampler ?? 'parentbased_always_on', settings.samplerArg ?? 1),
    exporting: spanExport !== undefined,
  });
  return {
    logger,
    metrics,
    traces,
    async shutdown(timeoutMs) {
      await spanExport?.shutdown(timeoutMs);
      flushLines();
    },
  };
}
