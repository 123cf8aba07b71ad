import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { Tokenizer } from './tokenizer-of-model.ts';

/** OpenAI's prices for the parts of a tool definition (cookbook, models from gpt-4o on). */
const TOOL = { begin: 7, properties: 3, property: 3, enumBegin: -3, enumItem: 3, end: 12 };
/** A picture in low detail. */
const LOW_DETAIL_TOKENS = 85;
/** Base64 characters of sound per token: 128 kbit/s at ten tokens a second is about 2,100, uncompressed 24 kHz about 6,400. */
const SOUND_CHARACTERS_PER_TOKEN = 3_000;
/** A PDF is far longer than its words, and base64 longer still. */
const FILE_CHARACTERS_PER_TOKEN = 12;
/** Schemas nest; nobody's nests deeper. */
const MAX_DEPTH = 16;

/** Takes a prompt apart into texts that have to be counted and things that have a size of their own. */
export class PromptPieces {
  readonly texts: string[] = [];
  /** Tokens that are known without counting text. */
  tokens = 0;
  messages = 0;
  names = 0;
  readonly #tokenizer: Tokenizer;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  text(text: unknown): void {
    if (typeof text === 'string' && text !== '') this.texts.push(text);
  }

  json(value: unknown): void {
    if (value !== undefined && value !== null) this.texts.push(JSON.stringify(value));
  }

  /** A message of chat or Messages, or an item of a Responses input. */
  message(message: JsonObject): void {
    if (message['type'] === 'reasoning') return; // earlier reasoning is not read again
    this.messages += 1;
    this.text(message['role']);
    this.text(message['name']);
    if (typeof message['name'] === 'string' && message['role'] !== undefined) this.names += 1;
    this.content(message['content']);
    this.content(message['output']); // of a function_call_output
    this.text(message['arguments']);
    this.text(message['refusal']);
    const calls = message['tool_calls'];
    for (const call of Array.isArray(calls) ? calls : [message['function_call']]) {
      const made = isJsonObject(call) ? call['function'] ?? call : undefined;
      if (!isJsonObject(made)) continue;
      this.text(made['name']);
      this.text(made['arguments']);
    }
  }

  content(part: unknown, depth = 0): void {
    if (typeof part === 'string') {
      this.text(part);
      return;
    }
    if (depth > MAX_DEPTH) return;
    if (Array.isArray(part)) {
      for (const each of part) this.content(each, depth + 1);
      return;
    }
    if (!isJsonObject(part)) return;
    switch (part['type']) {
      case 'text': case 'input_text': case 'output_text': case undefined:
        this.text(part['text']);
        return;
      case 'refusal':
        this.text(part['refusal']);
        return;
      case 'thinking': case 'redacted_thinking': case 'reasoning':
        return; // earlier reasoning is not read again
      case 'image': case 'image_url': case 'input_image': {
        const detail = isJsonObject(part['image_url']) ? part['image_url']['detail'] : part['detail'];
        this.tokens += detail === 'low' ? LOW_DETAIL_TOKENS : this.#tokenizer.imageTokens;
        return;
      }
      case 'input_audio': {
        const sound = isJsonObject(part['input_audio']) ? part['input_audio']['data'] : undefined;
        if (typeof sound === 'string') this.tokens += sound.length / SOUND_CHARACTERS_PER_TOKEN;
        return;
      }
      case 'tool_result':
        this.content(part['content'], depth + 1);
        return;
      case 'tool_use': case 'server_tool_use':
        this.text(part['name']);
        this.json(part['input']);
        return;
      case 'document': case 'search_result': case 'file': case 'input_file':
        this.#file(part, depth);
        return;
      default:
        this.text(part['text']);
    }
  }

  tools(tools: unknown): void {
    if (!Array.isArray(tools) || tools.length === 0) return;
    const { toolPreambleTokens } = this.#tokenizer;
    this.tokens += toolPreambleTokens ?? TOOL.end;
    for (const tool of tools) {
      if (!isJsonObject(tool)) continue;
      const definition = isJsonObject(tool['function']) ? tool['function'] : tool;
      if (toolPreambleTokens !== undefined) this.json(definition);
      else this.#openAiTool(definition);
    }
  }

  #openAiTool(definition: JsonObject): void {
    this.tokens += TOOL.begin;
    this.#line(definition['name'], definition['description']);
    this.#properties(definition['parameters'] ?? definition['input_schema'], 0);
  }

  #properties(schema: unknown, depth: number): void {
    if (!isJsonObject(schema) || depth > MAX_DEPTH) return;
    const properties = isJsonObject(schema['properties']) ? Object.entries(schema['properties']) : [];
    if (properties.length > 0) this.tokens += TOOL.properties;
    for (const [name, property] of properties) {
      this.tokens += TOOL.property;
      if (!isJsonObject(property)) continue;
      const { type } = property;
      if (Array.isArray(property['enum'])) {
        this.tokens += TOOL.enumBegin + property['enum'].length * TOOL.enumItem;
        for (const item of property['enum']) this.text(typeof item === 'string' ? item : JSON.stringify(item));
      }
      this.#line(`${name}:${typeof type === 'string' ? type : 'any'}`, property['description']);
      this.#properties(property, depth + 1);
      this.#properties(property['items'], depth + 1);
    }
  }

  #line(name: unknown, description: unknown): void {
    const said = typeof description === 'string' ? description.replace(/\.$/, '') : '';
    this.text(`${typeof name === 'string' ? name : ''}:${said}`);
  }

  #file(part: JsonObject, depth: number): void {
    this.text(part['title']);
    this.content(part['content'], depth + 1);
    const source = part['source'] ?? part['file'] ?? part;
    if (!isJsonObject(source)) return;
    if (source['type'] === 'content') this.content(source['content'], depth + 1);
    const data = source['data'] ?? source['file_data'];
    if (typeof data !== 'string') return;
    if (source['type'] === 'text') this.text(data);
    else this.tokens += data.length / FILE_CHARACTERS_PER_TOKEN;
  }
}
