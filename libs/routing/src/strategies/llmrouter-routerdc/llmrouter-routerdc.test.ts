import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-routerdc.ts';

learnedConformance('llmrouter-routerdc', createStrategy);
