export { createAnthropicWireProvider, type AnthropicWireParts } from './adapter.ts';
