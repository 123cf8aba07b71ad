/** Content chunks of one streamed reply; the whole stream has one role chunk before and one finish chunk after them. */
export const contentChunks = 98;
/** Chunks of one streamed reply, without the usage chunk and `[DONE]`. */
export const streamChunks = contentChunks + 2;

const model = 'gpt-4o-mini-2024-07-18';
const words = 'The gateway sits between many clients and many models and passes on what each of them says without losing or inventing a word of it'.split(' ');

/** The text that the content chunks of a stream spell. */
export const streamText = Array.from({ length: contentChunks }, (_, index) => wordAt(index)).join('');

function wordAt(index: number): string {
  const word = words[index % words.length] ?? '';
  return index === 0 ? word : ` ${word}`;
}

/** The text of the plain reply. */
export const completionText = 'Hello! How can I assist you today?';

/** A chat completion as OpenAI sends it, about 600 bytes. */
export const completion = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT',
    object: 'chat.completion',
    created: 1741569952,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content: completionText, refusal: null, annotations: [] }, logprobs: null, finish_reason: 'stop' }],
    usage: {
      prompt_tokens: 19,
      completion_tokens: 10,
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
    },
    service_tier: 'default',
    system_fingerprint: 'fp_b376dfbbd5',
  }),
);

/** The `data:` frames of one streamed reply in the order they are sent, `[DONE]` last. */
export function streamFrames({ includeUsage }: { readonly includeUsage: boolean }): readonly Buffer[] {
  const frame = (choices: readonly unknown[], usage?: unknown): Buffer =>
    Buffer.from(
      `data: ${JSON.stringify({
        id: 'chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG',
        object: 'chat.completion.chunk',
        created: 1741570283,
        model,
        service_tier: 'default',
        system_fingerprint: 'fp_b376dfbbd5',
        choices,
        ...(includeUsage ? { usage: usage ?? null } : {}),
      })}\n\n`,
    );
  const choice = (delta: unknown, finishReason: string | null): readonly unknown[] => [{ index: 0, delta, logprobs: null, finish_reason: finishReason }];
  return [
    frame(choice({ role: 'assistant', content: '', refusal: null }, null)),
    ...Array.from({ length: contentChunks }, (_, index) => frame(choice({ content: wordAt(index) }, null))),
    frame(choice({}, 'stop')),
    ...(includeUsage ? [frame([], { prompt_tokens: 19, completion_tokens: contentChunks, total_tokens: 19 + contentChunks })] : []),
    Buffer.from('data: [DONE]\n\n'),
  ];
}
