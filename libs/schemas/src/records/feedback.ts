import { z } from 'zod';
import { defineFields, type FieldsOf } from '../management/parse-fields.ts';

/** The body of `POST /v1/feedback`. */
export const feedbackFields = defineFields({
  /** `x-request-id` of the reply that is judged. */
  request_id: z.string().regex(/^[\w.:-]{1,128}$/, { error: 'the x-request-id of a reply was expected' }),
  /** 0 = useless, 1 = perfect. */
  score: z.number().min(0).max(1),
  /** A word for a kind of verdict (`wrong`, `too_long`): it is exported, so it must not hold what a person wrote. */
  label: z.string().regex(/^[\w.:-]{1,64}$/, { error: 'a word of at most 64 letters, digits, _ . : - was expected' }).optional(),
  /** What a person wrote. Leaves the gateway only with `store_prompts: true`. */
  comment: z.string().max(4_096).optional(),
});
export type Feedback = FieldsOf<typeof feedbackFields>;
