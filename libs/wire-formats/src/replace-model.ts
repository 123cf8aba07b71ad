import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/**
 * Puts the name that the client asked for (`to`) where a reply or stream event names the provider's model (`from`).
 *
 * A splice, not a parse: the text `"model":"from"` cannot occur inside a JSON string, because there every quote is written `\"`; the one exception,
 * a string that ends in `\"model`, has a backslash before the match. So a match is a field called model whose value is `from`.
 * Only when there is no such match but the word is there is the text parsed, and `model` set at the places where the formats have it:
 * top level (OpenAI), `message` (Anthropic's message_start), `response` (Responses events).
 */
export function replaceModel(text: string, from: string, to: string): string {
  if (from === to) return text;
  const quotedFrom = JSON.stringify(from);
  const at = positionOf(text, `"model":${quotedFrom}`);
  if (at !== -1) return splice(text, at + 8, quotedFrom.length, to);
  const spaced = positionOf(text, `"model": ${quotedFrom}`);
  if (spaced !== -1) return splice(text, spaced + 9, quotedFrom.length, to);
  return text.includes('"model"') ? replaceParsed(text, to) : text;
}

function splice(text: string, at: number, length: number, to: string): string {
  return text.slice(0, at) + JSON.stringify(to) + text.slice(at + length);
}

function positionOf(text: string, needle: string): number {
  let at = text.indexOf(needle);
  while (at > 0 && text.charCodeAt(at - 1) === 0x5c) at = text.indexOf(needle, at + 1);
  return at;
}

function replaceParsed(text: string, to: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  if (!isJsonObject(value)) return text;
  const changed = [value, value['message'], value['response']].filter((holder) => setModel(holder, to));
  return changed.length === 0 ? text : JSON.stringify(value);
}

function setModel(holder: unknown, to: string): boolean {
  if (!isJsonObject(holder) || typeof holder['model'] !== 'string' || holder['model'] === to) return false;
  (holder as JsonObject)['model'] = to;
  return true;
}
