import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { Dialect, RequestDraft } from '../dialect.ts';
import { thinkingOf } from './reasoning-budget.ts';

/** Provider options of the Google SDKs that clients send as parameters, in Google's spelling and in LiteLLM's. */
const OPTIONS: Readonly<Record<string, string>> = {
  safetySettings: 'safetySettings', safety_settings: 'safetySettings',
  cachedContent: 'cachedContent', cached_content: 'cachedContent',
  labels: 'labels',
  thinkingConfig: 'thinkingConfig', thinking_config: 'thinkingConfig',
  responseModalities: 'responseModalities', mediaResolution: 'mediaResolution', media_resolution: 'mediaResolution',
  imageConfig: 'imageConfig', image_config: 'imageConfig',
  retrievalConfig: 'retrievalConfig', audioTimestamp: 'audioTimestamp',
};
const HOSTED_TOOLS: Readonly<Record<string, string>> = {
  googleSearch: 'google_search', google_search: 'google_search', urlContext: 'url_context', url_context: 'url_context',
  codeExecution: 'code_execution', code_execution: 'code_execution', enterpriseWebSearch: 'enterprise_web_search', googleMaps: 'google_maps',
};

/** Chat requests in the words of `@ai-sdk/google`; Vertex reads the same under its own name. */
export function googleDialect(name: 'google' | 'googleVertex'): Dialect {
  return {
    name,
    systemFirst: true,
    takesUnsignedReasoning: false,
    cacheOptions: undefined,
    thinkingOptions: undefined,
    signatureOf: undefined,
    thoughtSignatures: true,
    hostedTool(tool) {
      for (const [key, value] of Object.entries(tool)) {
        const named = key === 'type' && typeof value === 'string' ? value : key;
        const hosted = Object.hasOwn(HOSTED_TOOLS, named) ? HOSTED_TOOLS[named] : undefined;
        if (hosted !== undefined) return { id: `google.${hosted}`, name: hosted, args: isJsonObject(value) ? { ...value } : {} };
      }
      return undefined;
    },
    refine,
    knownEvents: undefined,
    planOf: undefined,
    embeddingOptions({ body, rest }) {
      const taskType = rest.get('task_type') ?? rest.get('taskType');
      const dimensions = body['dimensions'];
      const own = { ...(typeof taskType === 'string' ? { taskType } : {}), ...(typeof dimensions === 'number' ? { outputDimensionality: dimensions } : {}) };
      return Object.keys(own).length === 0 ? undefined : { [name]: own };
    },
  };
}

function refine({ options, own, rest, warn }: RequestDraft): void {
  const thinking = thinkingOf(rest.get('thinking'));
  rest.delete('thinking');
  if (thinking !== undefined) {
    own['thinkingConfig'] = thinking.type === 'disabled' ? { thinkingBudget: 0 } : { includeThoughts: true, ...(thinking.budgetTokens === undefined ? {} : { thinkingBudget: thinking.budgetTokens }) };
  } else if (options.reasoning !== undefined && options.reasoning !== 'none') {
    // Whoever asks for reasoning wants to see it; Gemini sends thoughts only when told to.
    own['thinkingConfig'] = { includeThoughts: true };
  }
  for (const [key, value] of [...rest]) {
    const option = Object.hasOwn(OPTIONS, key) ? OPTIONS[key] : undefined;
    if (option === undefined || value === undefined) continue;
    own[option] = isJsonObject(own[option]) && isJsonObject(value) ? { ...own[option], ...value } : value;
    rest.delete(key);
  }
  const modalities = rest.get('modalities');
  rest.delete('modalities');
  if (Array.isArray(modalities)) own['responseModalities'] = modalities.map((one): JsonObject[string] & string => String(one).toUpperCase());
  const tier = rest.get('service_tier');
  rest.delete('service_tier');
  if (tier === 'flex' || tier === 'priority' || tier === 'standard') own['serviceTier'] = tier;
  if (rest.get('parallel_tool_calls') === false) warn('parallel_tool_calls is not supported by this provider');
  rest.delete('parallel_tool_calls');
}
