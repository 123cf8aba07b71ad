export { armOf, type BanditLearners } from './contextual-bandit.ts';
export { BANDIT_DIMENSIONS, BANDIT_LAYOUT, banditFeatures } from './bandit-features.ts';
export { ARM_BYTES, ArmSums } from './arm-sums.ts';
export { BanditLearner } from './bandit-learner.ts';
