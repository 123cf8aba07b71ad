export {
  createRollout, judge,
  type ArmSample, type Rollout, type RolloutDecision, type RolloutLimits, type RolloutOptions, type RolloutProgress, type RolloutReason, type RolloutSample,
} from './create-rollout.ts';
export { ArmTally, type Arms } from './arm-tally.ts';
export { parseExposition, type ExposedSample } from './parse-exposition.ts';
export { countersOf, type AnsweredReading, type ReplicaCounters, type ReplicaReading, type UnknownReading } from './replica-reading.ts';
export { parseGateways, type GatewayPlaces } from './parse-gateways.ts';
export { createGatewayReader, type GatewayReader, type GatewayReaderOptions } from './read-gateways.ts';
export { createPrometheusReader, rolloutQueries, type PrometheusReaderOptions } from './read-prometheus.ts';
