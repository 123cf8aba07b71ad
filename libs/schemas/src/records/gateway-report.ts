import { z } from 'zod';

const rejectionSchema = z.object({ at: z.string(), revision: z.string(), reason: z.string() });

/** One router model as a gateway serves it. `revision` is the generation's directory name, `{version}-{digest}`. */
export const servedModelSchema = z.object({ name: z.string(), version: z.string(), revision: z.string(), applied_at: z.string() });

/**
 * What a gateway says it serves: the body of `GET /health/config` and `POST /config/reload`, and of `RUN_DIR/applied.json`.
 * Tolerant: sidecars and gateways of different versions share a pod during an update.
 */
export const gatewayReportSchema = z.object({
  /** The process that says it, by its number in its own container. A file of a process that is gone says nothing. */
  pid: z.number().int().positive().optional(),
  /** When that process started, field 22 of `/proc/<pid>/stat`. Absent where there is no /proc. */
  started: z.string().optional(),
  config_revision: z.string().nullable(),
  applied_at: z.string().nullable(),
  models: z.array(servedModelSchema),
  /** The newest configuration that was refused. Gone once another one is applied. */
  last_rejected: rejectionSchema.optional(),
  /** Generations of router models that were refused, one per model and version. */
  rejected_models: z.array(rejectionSchema.extend({ name: z.string(), version: z.string() })).optional(),
});
export type GatewayReport = z.infer<typeof gatewayReportSchema>;
export type ServedModel = z.infer<typeof servedModelSchema>;
