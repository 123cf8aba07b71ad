import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-mlp.ts';

learnedConformance('llmrouter-mlp', createStrategy);
