import { completionText, streamChunks, streamText } from '../upstream/openai-replies.ts';

/** One whole reply as it arrived. */
export interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

const done = Buffer.from('data: [DONE]');
const frameStart = Buffer.from('data: ');
const finish = [Buffer.from('"finish_reason":"stop"'), Buffer.from('"finish_reason": "stop"')];
const text = Buffer.from(completionText);

/** Returns what is wrong with a reply to a plain request, undefined when it is the upstream's answer, whole. `thorough` also parses it. */
export function checkCompletion({ status, body }: Reply, thorough: boolean): string | undefined {
  if (status !== 200) return `status ${status}: ${beginning(body)}`;
  if (!body.includes(text)) return `the answer's text is missing: ${beginning(body)}`;
  if (!thorough) return undefined;
  try {
    const parsed = JSON.parse(body.toString()) as { choices?: { finish_reason?: string }[]; usage?: { total_tokens?: number } };
    if (parsed.choices?.[0]?.finish_reason !== 'stop') return 'finish_reason is not the upstream’s';
    if (parsed.usage?.total_tokens !== 29) return 'usage is not the upstream’s';
  } catch {
    return `not JSON: ${beginning(body)}`;
  }
  return undefined;
}

/**
 * Returns what is wrong with a reply to a stream request; undefined when it is whole: every chunk, the finish reason and `[DONE]` last.
 * A proxy may add or drop the role and the usage chunk, nothing else. `thorough` also parses every frame and compares the text.
 */
export function checkStream({ status, body }: Reply, thorough: boolean): string | undefined {
  if (status !== 200) return `status ${status}: ${beginning(body)}`;
  const doneAt = body.lastIndexOf(done);
  if (doneAt < 0 || body.subarray(doneAt + done.length).toString().trim() !== '') return `no [DONE] at the end: ${body.subarray(-120).toString()}`;
  const frames = countOf(body, frameStart) - 1;
  if (frames < streamChunks - 1 || frames > streamChunks + 2) return `${frames} chunks instead of ${streamChunks}`;
  if (!finish.some((marker) => body.includes(marker))) return 'no finish_reason';
  return thorough ? checkText(body.toString()) : undefined;
}

function checkText(body: string): string | undefined {
  let joined = '';
  for (const line of body.split(/\r?\n/)) {
    if (!line.startsWith('data: ') || line === 'data: [DONE]') continue;
    try {
      const chunk = JSON.parse(line.slice('data: '.length)) as { choices?: { delta?: { content?: string | null } }[] };
      joined += chunk.choices?.[0]?.delta?.content ?? '';
    } catch {
      return `a frame is not JSON: ${line.slice(0, 120)}`;
    }
  }
  return joined === streamText ? undefined : 'the text of the stream is not the upstream’s';
}

function countOf(body: Buffer, marker: Buffer): number {
  let count = 0;
  for (let at = body.indexOf(marker); at >= 0; at = body.indexOf(marker, at + marker.length)) count += 1;
  return count;
}

function beginning(body: Buffer): string {
  return body.subarray(0, 160).toString().replaceAll(/\s+/g, ' ');
}
