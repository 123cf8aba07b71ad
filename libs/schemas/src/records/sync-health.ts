import { z } from 'zod';

/** The body of `/health/config-sync` and `/health/model-sync`. Times are ISO 8601. */
export const syncHealthSchema = z.object({
  status: z.enum(['starting', 'ok', 'degraded', 'failing']),
  /** What is published and, where there is a gateway to ask, applied. */
  revision: z.string().nullable(),
  last_attempt_at: z.string().nullable(),
  last_success_at: z.string().nullable(),
  consecutive_failures: z.number().int(),
  /** The newest content that is not served, and why. */
  rejected: z.object({ revision: z.string(), reason: z.string() }).optional(),
});
export type SyncHealth = z.infer<typeof syncHealthSchema>;
