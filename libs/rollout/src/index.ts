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
export { boundedMeanSequence, meanSequence, type Interval, type MeasureSums } from './confidence-sequences.ts';
export { ARM_MEASURES, compareArms, type ArmBreach, type ArmMeasure, type ArmTolerance, type ModelArm } from './compare-arms.ts';
export { armKey, armsOf, ModelArmTally, type ArmCounters } from './model-arm-tally.ts';
export { createModelRollout, type ModelDecision, type ModelLimits, type ModelProgress, type ModelRollout, type ModelRolloutOptions, type ModelRolloutReason, type ModelSample } from './create-model-rollout.ts';
export { editModelVersion, modelUse, type ModelChange, type ModelUse } from './edit-model-version.ts';
