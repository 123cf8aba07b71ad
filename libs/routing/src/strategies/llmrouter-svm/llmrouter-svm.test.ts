import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-svm.ts';

learnedConformance('llmrouter-svm', createStrategy);
