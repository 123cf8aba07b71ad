import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { jsonBySchema, telling } from './json-by-schema.ts';
import type { Prompt } from './read-prompt.ts';
import type { SimulatedModel } from './simulated-models.ts';

export type Answer = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'tool-call'; readonly name: string; readonly argumentsJson: string };

export interface ComposeOptions {
  /** The model's name as it presents itself: `swift`. */
  readonly model: string;
  readonly style: SimulatedModel['style'];
  readonly body: JsonObject;
  readonly prompt: Prompt;
  /** Decides between wordings; [0, 1). */
  readonly random: () => number;
}

/** What a simulated model answers: a tool call where one is asked for, JSON where a format is set, else text in the style of the model. */
export function composeAnswer(options: ComposeOptions): Answer {
  return composeToolCall(options) ?? { kind: 'text', text: composeJson(options) ?? composeText(options) };
}

function composeToolCall({ body, prompt }: ComposeOptions): Answer | undefined {
  const choice = body['tool_choice'];
  const tools = Array.isArray(body['tools']) ? body['tools'].flatMap((tool) => (isJsonObject(tool) && isJsonObject(tool['function']) && typeof tool['function']['name'] === 'string' ? [tool['function']] : [])) : [];
  const first = tools[0];
  if (first === undefined || choice === 'none') return undefined;
  const forced = isJsonObject(choice) && isJsonObject(choice['function']) ? choice['function']['name'] : undefined;
  if (forced !== undefined) return callOf(tools.find((tool) => tool['name'] === forced) ?? first, prompt);
  if (choice === 'required') return callOf(tools.find((tool) => names(prompt.question, tool)) ?? first, prompt);
  // A conversation that ends with a tool's result wants words, not the same call again.
  if (prompt.toolResult !== undefined) return undefined;
  const named = tools.find((tool) => names(prompt.question, tool));
  if (named !== undefined) return callOf(named, prompt);
  return /\b(use|call|invoke)\b[^.?!]*\b(tools?|functions?)\b/i.test(prompt.question) ? callOf(first, prompt) : undefined;
}

/** Whether a prompt asks for a tool: by its name, or by all words of it (`weather` of `get_weather`). */
function names(question: string, tool: JsonObject): boolean {
  const name = String(tool['name']);
  const lower = question.toLowerCase();
  if (lower.includes(name.toLowerCase())) return true;
  const words = name.split(/[^\p{L}\p{N}]+|(?<=\p{Ll})(?=\p{Lu})/u).map((word) => word.toLowerCase()).filter((word) => word.length > 3);
  return words.length > 0 && words.every((word) => lower.includes(word));
}

function callOf(tool: JsonObject, prompt: Prompt): Answer {
  const schema = tool['parameters'];
  const value = isJsonObject(schema) ? jsonBySchema(schema, prompt.question) : {};
  return { kind: 'tool-call', name: String(tool['name']), argumentsJson: JSON.stringify(isJsonObject(value) ? value : {}) };
}

function composeJson({ model, body, prompt }: ComposeOptions): string | undefined {
  const format = body['response_format'];
  if (!isJsonObject(format)) return undefined;
  if (format['type'] === 'json_object') return JSON.stringify({ answer: shortened(prompt.question, 12), model: `simulated/${model}` });
  if (format['type'] !== 'json_schema') return undefined;
  const holder = format['json_schema'];
  const schema: JsonValue | undefined = isJsonObject(holder) ? holder['schema'] : undefined;
  return JSON.stringify(jsonBySchema(schema ?? { type: 'object' }, prompt.question));
}

function composeText({ model, style, prompt, random }: ComposeOptions): string {
  const pick = (...wordings: readonly [string, ...string[]]): string => wordings[Math.floor(random() * wordings.length)] ?? wordings[0];
  const asked = prompt.question === '' ? 'nothing yet' : `“${shortened(prompt.question, style === 'terse' ? 8 : 24)}”`;
  const topics = [...new Set(telling(prompt.question))].slice(0, 3);
  const topic = topics[0] ?? 'your question';
  const seen = prompt.images === 0 ? '' : ` I was shown ${prompt.images === 1 ? 'one image' : `${prompt.images} images`}.`;
  const signed = `simulated/${model}`;
  if (prompt.toolResult !== undefined) return `${signed}: the tool answered ${shortened(prompt.toolResult, 30)}. That is what I have on ${topic}.`;
  switch (style) {
    case 'terse':
      return `${signed}: ${pick('in short', 'quickly', 'briefly')}, you asked ${asked}.${seen}`;
    case 'plain':
      return `${signed} here. You asked ${asked}.${seen} ${pick('A plain answer', 'A straight answer')} would start with ${topic} and stop there: this model is simulated, it only shows that requests arrive and are answered.`;
    case 'structured':
      return [
        `${signed} here. You asked ${asked}.${seen}`,
        `1. What is asked: ${topics.join(', ') || topic}.`,
        `2. ${pick('What matters', 'What decides')}: how ${topic} relates to the rest of the question.`,
        '3. What to do: set a provider key and ask again; this model is simulated and knows nothing.',
      ].join('\n');
    case 'thorough':
      return [
        `${signed} here, thinking it through. You asked ${asked}.${seen}`,
        `Summary: ${prompt.turns === 1 ? 'a single question' : `a conversation of ${prompt.turns} messages`}, ${prompt.question.length} characters, mostly about ${topics.join(', ') || topic}.`,
        `1. First I would settle what ${topic} means here, because the answer depends on it.`,
        `2. Then I would compare ${topics.length > 1 ? `${topic} with ${topics[1] ?? ''}` : 'the likely readings'}, and say which one I chose and why.`,
        '3. Last I would check the result against an example, and name what remains open.',
        `${pick('A caveat', 'One caution')}: this model is simulated. It costs nothing, calls nobody and knows nothing; real answers need a provider key.`,
        `${pick('Shall I', 'Should I')} go deeper into ${topics.at(-1) ?? topic}?`,
      ].join('\n\n');
  }
}

/** The first `words` words on one line, with an ellipsis when there were more. */
function shortened(text: string, words: number): string {
  const all = text.trim().split(/\s+/, words + 1);
  return all.length > words ? `${all.slice(0, words).join(' ')}…` : all.join(' ');
}
