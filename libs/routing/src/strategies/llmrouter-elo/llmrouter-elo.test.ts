import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { createStrategy } from './llmrouter-elo.ts';

learnedConformance('llmrouter-elo', createStrategy);
