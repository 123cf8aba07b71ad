import { describe, expect, test } from 'vitest';
import { completion, streamFrames } from '../upstream/openai-replies.ts';
import { checkCompletion, checkStream } from './check-reply.ts';

const frames = streamFrames({ includeUsage: true });
const stream = Buffer.concat([...frames]);
const ok = (body: Buffer): { status: number; body: Buffer } => ({ status: 200, body });

describe.each([true, false])('thorough: %s', (thorough) => {
  test("the upstream's own replies are right", () => {
    expect(checkCompletion(ok(completion), thorough)).toBeUndefined();
    expect(checkStream(ok(stream), thorough)).toBeUndefined();
    expect(checkStream(ok(Buffer.concat([...streamFrames({ includeUsage: false })])), thorough)).toBeUndefined();
  });

  test('an error status is never counted as fast', () => {
    expect(checkCompletion({ status: 500, body: completion }, thorough)).toMatch('status 500');
    expect(checkStream({ status: 429, body: stream }, thorough)).toMatch('status 429');
  });

  test('a stream without [DONE] at its end is wrong', () => {
    expect(checkStream(ok(Buffer.concat(frames.slice(0, -1))), thorough)).toMatch('no [DONE]');
    expect(checkStream(ok(Buffer.concat([stream, Buffer.from('data: {}\n\n')])), thorough)).toMatch('no [DONE]');
  });

  test('a stream that lost chunks is wrong', () => {
    expect(checkStream(ok(Buffer.concat(frames.filter((_, index) => index < 50 || index > 55))), thorough)).toMatch('chunks instead of 100');
  });

  test('an error in place of the answer is wrong', () => {
    expect(checkCompletion(ok(Buffer.from('{"error":{"message":"no"}}')), thorough)).toMatch("answer's text is missing");
  });
});

test('a thorough check finds a changed word', () => {
  const changed = Buffer.from(stream.toString().replace('gateway', 'getaway'));
  expect(checkStream(ok(changed), false)).toBeUndefined();
  expect(checkStream(ok(changed), true)).toMatch('text of the stream');
});
