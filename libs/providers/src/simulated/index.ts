export { createSimulatedProvider, type SimulatedParts } from './simulated-provider.ts';
export { createMockReplyProvider } from './mock-reply.ts';
export { SIMULATED_MODELS, type SimulatedModel } from './simulated-models.ts';
export { SIMULATED_FAULTS, type SimulatedFault } from './simulated-faults.ts';
