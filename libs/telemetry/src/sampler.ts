import { isSpanContextValid, ROOT_CONTEXT, trace, TraceFlags } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler, type Sampler as SdkSampler } from '@opentelemetry/sdk-trace';

/** The values of `OTEL_TRACES_SAMPLER` (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). */
export const SAMPLERS = ['always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const;
export type SamplerName = (typeof SAMPLERS)[number];

/** Whether to record a trace. `parentSampled` is undefined for a trace that starts here. */
export type Sampler = (traceId: string, parentSampled: boolean | undefined) => boolean;

/** The sampler of that name; `ratio` (0 to 1, default 1) is what `OTEL_TRACES_SAMPLER_ARG` carries for the ratio samplers. */
export function createSampler(name: SamplerName, ratio = 1): Sampler {
  // The SDK's own arithmetic, so that every service in a trace decides alike.
  const ratioSampler = new TraceIdRatioBasedSampler(ratio);
  const byRatio = (traceId: string): boolean =>
    ratioSampler.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED;
  switch (name) {
    case 'always_on':
      return () => true;
    case 'always_off':
      return () => false;
    case 'traceidratio':
      return byRatio;
    case 'parentbased_always_on':
      return (_traceId, parentSampled) => parentSampled ?? true;
    case 'parentbased_always_off':
      return (_traceId, parentSampled) => parentSampled ?? false;
    case 'parentbased_traceidratio':
      return (traceId, parentSampled) => parentSampled ?? byRatio(traceId);
  }
}

/** The same decision in the form a `TracerProvider` asks for it. */
export function toSdkSampler(sampler: Sampler): SdkSampler {
  return {
    shouldSample(context, traceId) {
      const parent = trace.getSpanContext(context);
      const parentSampled = parent !== undefined && isSpanContextValid(parent) ? (parent.traceFlags & TraceFlags.SAMPLED) !== 0 : undefined;
      return { decision: sampler(traceId, parentSampled) ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD };
    },
    toString: () => 'PointsmanSampler',
  };
}
