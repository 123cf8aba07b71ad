import { strategyConformance } from '../../strategy.conformance.ts';
import { createStrategy } from './usage-based-routing-v2.ts';

strategyConformance('usage-based-routing-v2', createStrategy);
