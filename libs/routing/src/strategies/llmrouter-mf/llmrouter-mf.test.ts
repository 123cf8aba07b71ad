import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-mf.ts';

learnedConformance('llmrouter-mf', createStrategy);
