export { countPrompt } from './count-prompt.ts';
export { countText, countTexts } from './count-text.ts';
export { tokenizerOf, type EncodingName, type Tokenizer } from './tokenizer-of-model.ts';
