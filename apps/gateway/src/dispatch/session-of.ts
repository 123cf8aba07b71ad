import { hash } from 'node:crypto';
import type { WireFormat } from '@pointsman/providers';
import type { Session } from '@pointsman/routing';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { textOfContent } from './prompt-text.ts';

/** What of a conversation's beginning tells it from others. */
const COMPARED_CHARACTERS = 2_000;
const MAX_ID = 256;

export interface SessionQuestion {
  readonly format: WireFormat;
  readonly value: JsonObject;
  /** Who asks: a session belongs to one caller. */
  readonly caller: string;
  /** `x-litellm-session-id`, where the client sent it. */
  readonly header: string | string[] | undefined;
}

/**
 * The conversation that a request belongs to: by the id that the client gives (`litellm_session_id`, `metadata.session_id`, the header, `conversation` of the
 * Responses API), else by how it began: the system prompt and the first message of the user, which every later turn sends again. Undefined where there are no turns.
 */
export function sessionOf({ format, value, caller, header }: SessionQuestion): Session | undefined {
  const given = givenId(value, header);
  if (given !== undefined) return { id: hash('sha256', `${caller}\0given\0${given}`), isContinued: true };
  const turns = format === 'responses' ? value['input'] : value['messages'];
  if (!Array.isArray(turns)) return undefined;
  let system = textOfContent(value['system'] ?? value['instructions']);
  let first: string | undefined;
  let spoken = 0;
  for (const turn of turns) {
    if (!isJsonObject(turn)) continue;
    const { role } = turn;
    if (role === 'system' || role === 'developer') system += textOfContent(turn['content']).slice(0, COMPARED_CHARACTERS);
    else spoken += 1;
    if (role === 'user') first ??= textOfContent(turn['content']);
  }
  if (first === undefined) return undefined;
  return { id: hash('sha256', `${caller}\0begun\0${system.slice(0, COMPARED_CHARACTERS)}\0${first.slice(0, COMPARED_CHARACTERS)}`), isContinued: spoken > 1 };
}

function givenId(value: JsonObject, header: string | string[] | undefined): string | undefined {
  const { metadata, conversation } = value;
  const candidates: readonly unknown[] = [
    value['litellm_session_id'], isJsonObject(metadata) ? metadata['session_id'] : undefined, header,
    isJsonObject(conversation) ? conversation['id'] : conversation, value['previous_response_id'] === undefined ? undefined : value['session_id'],
  ];
  const found = candidates.find((candidate) => typeof candidate === 'string' && candidate !== '');
  return typeof found === 'string' ? found.slice(0, MAX_ID) : undefined;
}
