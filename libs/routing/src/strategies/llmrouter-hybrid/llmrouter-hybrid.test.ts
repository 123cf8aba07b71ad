import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-hybrid.ts';

learnedConformance('llmrouter-hybrid', createStrategy);
