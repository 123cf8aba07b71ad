import type { JSONSchema7, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { badRequest } from './bad-request.ts';
import { cacheOptionsOf } from './content.ts';
import type { Dialect } from './dialect.ts';

type Tools = NonNullable<LanguageModelV4CallOptions['tools']>;

/** OpenAI `tools` (and the older `functions`) as the SDK's; hosted tools of the provider pass by their own type. */
export function toolsOf(body: JsonObject, dialect: Dialect): Tools | undefined {
  const tools = body['tools'] ?? (Array.isArray(body['functions']) ? body['functions'].map((fn) => ({ type: 'function', function: fn })) : undefined);
  if (tools === undefined || tools === null) return undefined;
  if (!Array.isArray(tools)) throw badRequest('tools', 'an array');
  const mapped = tools.map((tool: unknown, index): Tools[number] => {
    const path = `tools[${index}]`;
    if (!isJsonObject(tool)) throw badRequest(path, 'an object with a type');
    const fn = tool['function'];
    if (tool['type'] !== 'function' || !isJsonObject(fn)) {
      const hosted = dialect.hostedTool?.(tool);
      if (hosted === undefined) throw badRequest(`${path}.type`, 'function');
      return { type: 'provider', ...hosted };
    }
    if (typeof fn['name'] !== 'string') throw badRequest(`${path}.function.name`, 'a string');
    const schema = fn['parameters'];
    const cache = cacheOptionsOf(tool, dialect);
    return {
      type: 'function',
      name: fn['name'],
      inputSchema: (isJsonObject(schema) ? schema : { type: 'object', properties: {} }) as JSONSchema7,
      ...(typeof fn['description'] === 'string' ? { description: fn['description'] } : {}),
      ...(typeof fn['strict'] === 'boolean' ? { strict: fn['strict'] } : {}),
      ...(cache.providerOptions === undefined ? cacheOptionsOf(fn, dialect) : cache),
    };
  });
  return mapped.length === 0 ? undefined : mapped;
}

export function toolChoiceOf(choice: unknown): LanguageModelV4CallOptions['toolChoice'] {
  if (choice === undefined || choice === null) return undefined;
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { type: choice };
  if (choice === 'any') return { type: 'required' };
  if (isJsonObject(choice)) {
    const fn = choice['function'];
    const name = isJsonObject(fn) ? fn['name'] : choice['name'];
    if (typeof name === 'string') return { type: 'tool', toolName: name };
    if (choice['type'] === 'auto' || choice['type'] === 'none' || choice['type'] === 'required') return { type: choice['type'] };
    if (choice['type'] === 'any') return { type: 'required' };
  }
  throw badRequest('tool_choice', 'auto, none, required or a named function');
}
