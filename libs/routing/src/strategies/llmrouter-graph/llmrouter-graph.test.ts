import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-graph.ts';

learnedConformance('llmrouter-graph', createStrategy);
