import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { OpenAiProviderFacts } from '../provider-catalog.ts';
import type { ProviderRequest, WireFormat } from '../provider.ts';
import { BODY_QUIRKS, rename, type BodyChange, type BodyContext } from './quirks/body-quirks.ts';
import { without } from './quirks/rewrite.ts';
import type { Slab, SlabPool } from '../slab-pool.ts';
import { spliceBody } from './splice-body.ts';

const ASK_FOR_USAGE = '"stream_options":{"include_usage":true}';

export interface BodyRules {
  readonly dropParams: boolean;
  /** Model names depend on the format at some providers. */
  modelNameOf(model: string, format: WireFormat): string;
}

export interface PreparedBody {
  readonly bytes: Buffer;
  /** To be called once nothing reads the bytes any more; undefined where they are nobody's but the call's. */
  readonly release: (() => void) | undefined;
}

export type PrepareBody = (request: ProviderRequest, modelName: string) => PreparedBody;

/**
 * The bytes to send: the client's own with another model name where nothing else differs, else the changed body serialised.
 * A streamed chat or completion asks for usage, because what was streamed is billed; the gateway takes the usage chunk out again for clients that did not ask.
 */
export function createPrepareBody(facts: OpenAiProviderFacts, dropParams: boolean, slabs: SlabPool): PrepareBody {
  const changes = new Map<WireFormat, readonly BodyChange[]>(facts.formats.map((format) => [format, changesFor(facts, format)] as const));
  const asksForUsage = facts.streamUsage !== 'unasked';

  const prepared = (source: JsonObject, { format, stream }: ProviderRequest, context: BodyContext): { readonly body: JsonObject; readonly fields: string | undefined } => {
    let body = source;
    for (const change of changes.get(format) ?? []) body = change(body, context);
    if (format !== 'chat' && format !== 'completions') return { body, fields: undefined };
    if (!asksForUsage) return { body: without(body, 'stream_options'), fields: undefined };
    if (!stream) return { body, fields: undefined };
    const options = body['stream_options'];
    if (options === undefined) return { body, fields: ASK_FOR_USAGE };
    if (isJsonObject(options) && options['include_usage'] === true) return { body, fields: undefined };
    return { body: { ...body, stream_options: { ...(isJsonObject(options) ? options : {}), include_usage: true } }, fields: undefined };
  };

  return (request, modelName) => {
    const context: BodyContext = { model: modelName, dropParams };
    const outline = request.outline ?? request.body;
    if (request.rawBody !== undefined && typeof outline['model'] === 'string') {
      // What no change touches in outline, no change touches in whole: none looks into a long string.
      const { body, fields } = prepared(outline, request, context);
      let slab: Slab | undefined;
      const spliced = body === outline ? spliceBody(request.rawBody, modelName, fields, (bytes) => (slab = slabs.take(bytes)).bytes) : undefined;
      if (spliced !== undefined) return { bytes: spliced, release: slab?.release };
    }
    const { body, fields } = prepared(request.body, request, context);
    const text = JSON.stringify({ ...body, model: modelName });
    // `fields` are known not to be in the body, which has at least the model in it.
    return { bytes: Buffer.from(fields === undefined ? text : `{${fields},${text.slice(1)}`), release: undefined };
  };
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
