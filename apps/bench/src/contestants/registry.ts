import { bare, barePipeline } from './bare.ts';
import type { Contestant } from './contestant.ts';
import { direct } from './direct.ts';
import { litellm } from './litellm.ts';
import { nginx } from './nginx.ts';
import { pointsman, pointsmanNoExport, pointsmanWithState } from './pointsman.ts';
import { portkey } from './portkey.ts';

/** Everybody who can be measured, in the order of the tables. */
export const contestants: readonly Contestant[] = [direct, nginx, bare, barePipeline, pointsman, pointsmanNoExport, pointsmanWithState, portkey, litellm];
