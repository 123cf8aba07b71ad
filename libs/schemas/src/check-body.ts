import { AppError } from '@pointsman/errors';
import type { z } from 'zod';
import { countTokensBodySchema, messagesBodySchema } from './anthropic/messages-body.ts';
import { describeProblems } from './describe-problems.ts';
import { isJsonObject } from './json.ts';
import { chatBodySchema } from './openai/chat-body.ts';
import { isPlainChatBody } from './openai/plain-chat-body.ts';
import { completionBodySchema, embeddingBodySchema } from './openai/completion-body.ts';
import { responsesBodySchema } from './openai/responses-body.ts';

export interface BodyCheckOptions {
  /** The route names the model (`/openai/deployments/{model}/…`), so the body may leave it out; default false. */
  readonly modelFromPath?: boolean;
}

/** What is wrong with a request body, or undefined. The body itself travels on as it came: nothing is stripped, defaulted or copied. */
export type BodyCheck = (body: unknown, options?: BodyCheckOptions) => AppError | undefined;

/** The usual shape is recognised without zod; `isPlainChatBody` never takes what the schema refuses. */
export const checkChatBody: BodyCheck = (body, options) => (isPlainChatBody(body) ? undefined : checkAgainstChatSchema(body, options));
export const checkCompletionBody: BodyCheck = bodyCheck(completionBodySchema);
export const checkEmbeddingBody: BodyCheck = bodyCheck(embeddingBodySchema);
export const checkResponsesBody: BodyCheck = bodyCheck(responsesBodySchema);
export const checkMessagesBody: BodyCheck = bodyCheck(messagesBodySchema);
export const checkCountTokensBody: BodyCheck = bodyCheck(countTokensBodySchema);

const checkAgainstChatSchema = bodyCheck(chatBodySchema);

function bodyCheck(schema: z.ZodType): BodyCheck {
  return (body, options) => {
    const result = schema.safeParse(body);
    if (result.success) return undefined;
    // Two: the missing model may be the first, and is then none.
    const problems = describeProblems(result.error, body, 2);
    const modelMayLack = options?.modelFromPath === true && isJsonObject(body) && (body['model'] === undefined || body['model'] === null);
    const problem = problems.find(({ path }) => !(modelMayLack && path === 'model'));
    if (problem === undefined) return undefined;
    return new AppError('invalid_request', problem.code, problem.message, problem.path === '' ? {} : { param: problem.path });
  };
}
