import { LOG_LEVELS, SAMPLERS, type TelemetrySettings } from '@pointsman/telemetry';
import { z } from 'zod';
import { decimal, oneOf, pairs, text, url } from './setting.ts';

const logLevel = z.string().transform((given, context) => {
  const word = given.toLowerCase();
  const level = LOG_LEVELS.find((known) => known === (word === 'warning' ? 'warn' : word === 'critical' ? 'error' : word));
  if (level !== undefined) return level;
  context.addIssue({ code: 'custom', message: `must be one of ${LOG_LEVELS.join(', ')}` });
  return z.NEVER;
});

/** The variables that every app reads for its telemetry: spread them into the app's own schema. */
export const telemetryVariables = {
  LOG_LEVEL: logLevel.default('info'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url().optional(),
  OTEL_EXPORTER_OTLP_HEADERS: pairs().optional(),
  OTEL_SERVICE_NAME: text().optional(),
  OTEL_RESOURCE_ATTRIBUTES: pairs().optional(),
  OTEL_TRACES_SAMPLER: oneOf(SAMPLERS).default('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: decimal({ min: 0, max: 1 }).optional(),
  POD_NAME: text().optional(),
};

/** Settings that were read with `telemetryVariables`. */
export type TelemetryVariables = z.output<z.ZodObject<typeof telemetryVariables>>;

/** What `startTelemetry` needs, out of an app's settings. */
export function telemetrySettings(settings: TelemetryVariables, app: { readonly name: string; readonly version: string }): TelemetrySettings {
  return {
    serviceName: settings.OTEL_SERVICE_NAME ?? app.name,
    serviceVersion: app.version,
    otlpEndpoint: settings.OTEL_EXPORTER_OTLP_ENDPOINT,
    otlpHeaders: settings.OTEL_EXPORTER_OTLP_HEADERS,
    sampler: settings.OTEL_TRACES_SAMPLER,
    samplerArg: settings.OTEL_TRACES_SAMPLER_ARG,
    resourceAttributes: { ...settings.OTEL_RESOURCE_ATTRIBUTES, ...(settings.POD_NAME === undefined ? {} : { 'k8s.pod.name': settings.POD_NAME }) },
    logLevel: settings.LOG_LEVEL,
  };
}
