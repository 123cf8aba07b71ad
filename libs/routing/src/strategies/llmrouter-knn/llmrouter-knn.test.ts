import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-knn.ts';

learnedConformance('llmrouter-knn', createStrategy);
