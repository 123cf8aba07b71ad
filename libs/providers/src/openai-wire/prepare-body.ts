import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { OpenAiProviderFacts } from '../provider-catalog.ts';
import type { ProviderRequest, WireFormat } from '../provider.ts';
import { BODY_QUIRKS, rename, type BodyChange, type BodyContext } from './quirks/body-quirks.ts';
import { without } from './quirks/rewrite.ts';
import { spliceBody } from './splice-body.ts';

const ASK_FOR_USAGE = '"stream_options":{"include_usage":true}';

export interface BodyRules {
  readonly dropParams: boolean;
  /** Model names depend on the format at some providers. */
  modelNameOf(model: string, format: WireFormat): string;
}

export type PrepareBody = (request: ProviderRequest, modelName: string) => Buffer;

/**
 * The bytes to send: the client's own with another model name where nothing else differs, else the changed body serialised.
 * A streamed chat or completion asks for usage, because what was streamed is billed; the gateway takes the usage chunk out again for clients that did not ask.
 */
export function createPrepareBody(facts: OpenAiProviderFacts, dropParams: boolean): PrepareBody {
  const changes = new Map<WireFormat, readonly BodyChange[]>(facts.formats.map((format) => [format, changesFor(facts, format)] as const));
  const asksForUsage = facts.streamUsage !== 'unasked';

  return (request, modelName) => {
    const { format } = request;
    const context: BodyContext = { model: modelName, dropParams };
    let body = request.body;
    for (const change of changes.get(format) ?? []) body = change(body, context);
    if (format === 'chat' || format === 'completions') {
      if (!asksForUsage) body = without(body, 'stream_options');
      else if (request.stream) {
        const options = body['stream_options'];
        if (options === undefined) return bytesOf(body, request, modelName, ASK_FOR_USAGE);
        if (!isJsonObject(options) || options['include_usage'] !== true) body = { ...body, stream_options: { ...(isJsonObject(options) ? options : {}), include_usage: true } };
      }
    }
    return bytesOf(body, request, modelName, undefined);
  };
}

function bytesOf(body: JsonObject, request: ProviderRequest, modelName: string, fields: string | undefined): Buffer {
  if (body === request.body && request.rawBody !== undefined && typeof body['model'] === 'string') {
    const spliced = spliceBody(request.rawBody, modelName, fields);
    if (spliced !== undefined) return spliced;
  }
  const text = JSON.stringify({ ...body, model: modelName });
  // `fields` are known not to be in the body, which has at least the model in it.
  return Buffer.from(fields === undefined ? text : `{${fields},${text.slice(1)}`);
}

function changesFor(facts: OpenAiProviderFacts, format: WireFormat): readonly BodyChange[] {
  const changes: BodyChange[] = [];
  if (format === 'chat' || format === 'completions') for (const [from, to] of Object.entries(facts.renames)) changes.push((body) => rename(body, from, to));
  for (const name of facts.quirks) {
    const quirk = BODY_QUIRKS[name];
    if (quirk !== undefined && (quirk.formats ?? ['chat']).includes(format)) changes.push(quirk.change);
  }
  return changes;
}
