export { AttributeSet, AttributeSets } from './attribute-set.ts';
export { startTelemetry, type Telemetry, type TelemetrySettings } from './start-telemetry.ts';
export { createLogger, LOG_LEVELS, type LineLevel, type LogFields, type Logger, type LoggerSettings, type LogLevel, type StateReporter } from './logger.ts';
export { MASK, Secret } from './secret.ts';
export { redact, redactText } from './redact.ts';
export { createMetrics, type Counter, type Gauge, type Histogram, type LabelledMetric, type Metrics } from './metrics-registry.ts';
export type { CounterSeries, GaugeSeries, HistogramSeries } from './metric-series.ts';
export {
  defineCounter, defineGauge, defineHistogram,
  type CounterDefinition, type GaugeDefinition, type HistogramDefinition, type LabelValues, type MetricDefinition,
} from './metric-definition.ts';
export type { BeginOptions, Traces } from './traces.ts';
export type { AttributeValue, RequestSpan, Span, SpanKindName } from './span.ts';
export { acceptTraceState, parseTraceParent, type TraceParent } from './trace-context.ts';
export { SAMPLERS, type SamplerName } from './sampler.ts';
export { decodeTraces, encodeOtlpResponse, encodeOtlpStatus, type OtlpEncoding, type OtlpPartialSuccess } from './otlp/decode-traces.ts';
export { MalformedOtlpError, type ReceivedSpan, type ReceivedValue } from './otlp/received-span.ts';
/** Every metric of this product: `metric.GATEWAY_REQUESTS`. */
export * as metric from './metric-names.ts';
/** Every span attribute of this product: `attribute.LLM_MODEL`. */
export * as attribute from './attribute-names.ts';
