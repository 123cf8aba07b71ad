/** One event of a stream as a client reads it. */
export interface StreamFrame {
  readonly event: string | undefined;
  readonly data: string;
  /** The parsed data; undefined where it is not JSON, which only `[DONE]` may be. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

export interface StreamedReply {
  readonly status: number;
  readonly headers: Headers;
  readonly frames: readonly StreamFrame[];
  readonly raw: string;
  /** All text of choice 0, whichever route it came through. */
  readonly text: string;
  /** Frames that report an error. */
  readonly errors: readonly StreamFrame[];
  /** What the stream says it ended with, one entry per choice or message. */
  readonly endings: readonly string[];
  readonly isDone: boolean;
}

/** Reads a reply to its end. Rejects when the connection breaks before the end: every end must be a defined one. */
export async function readStream(response: Response): Promise<StreamedReply> {
  const raw = await response.text();
  const frames = framesOf(raw);
  return {
    status: response.status, headers: response.headers, raw, frames,
    text: frames.map(textOf).join(''),
    errors: frames.filter(isError),
    endings: frames.flatMap(endingsOf),
    isDone: frames.some(({ data }) => data === '[DONE]'),
  };
}

export function framesOf(raw: string): StreamFrame[] {
  return raw.split('\n\n').filter((block) => block.trim() !== '').map((block) => {
    const lines = block.split('\n');
    const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
    return { event: lines.find((line) => line.startsWith('event: '))?.slice(7), data, json: parse(data) };
  });
}

/** Text that one frame adds: chat, completions, Anthropic messages, Responses. */
export function textOf({ json }: StreamFrame): string {
  if (json === undefined) return '';
  const [choice] = choicesOf(json).filter((one) => (one['index'] ?? 0) === 0);
  if (choice !== undefined) {
    const delta = choice['delta'] as { readonly content?: string | null } | undefined;
    return delta?.content ?? (typeof choice['text'] === 'string' ? choice['text'] : '');
  }
  if (json['type'] === 'content_block_delta') return (json['delta'] as { readonly text?: string }).text ?? '';
  if (json['type'] === 'response.output_text.delta') return json['delta'] as string;
  return '';
}

export function choicesOf(json: Readonly<Record<string, unknown>>): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(json['choices']) ? json['choices'] as Readonly<Record<string, unknown>>[] : [];
}

function isError({ event, json }: StreamFrame): boolean {
  return json !== undefined && (json['error'] !== undefined && json['error'] !== null || event === 'error' || json['type'] === 'error' || json['type'] === 'response.failed');
}

function endingsOf({ json }: StreamFrame): string[] {
  if (json === undefined) return [];
  const type = json['type'];
  if (type === 'message_stop' || type === 'response.completed' || type === 'response.incomplete') return [type];
  return choicesOf(json).map((choice) => choice['finish_reason']).filter((reason) => typeof reason === 'string');
}

function parse(data: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(data) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
