import { z } from 'zod';

/** Relative to the store, like `S3_KEY`: `prod/config.yaml`. */
const configKeySchema = z.string().min(1).max(900).refine((key) => key.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..'), { error: 'expected an object key such as prod/config.yaml' });

/** `release.json`: which configuration most pods serve, and which one a few try. Strict: operators write it. */
export const releaseSchema = z.strictObject({
  stable: z.strictObject({ config_key: configKeySchema }),
  canary: z.strictObject({
    config_key: configKeySchema,
    /** Of the live pods; above 0 at least one of them. */
    percent: z.number().min(0).max(100),
    started_at: z.iso.datetime({ offset: true }),
    started_by: z.string().min(1).max(256),
  }).optional(),
  /** Keys that were stable before, newest first: where a rollback goes. */
  history: z.array(z.strictObject({ config_key: configKeySchema, until: z.iso.datetime({ offset: true }), replaced_by: z.string().max(256) })).max(50).optional(),
});
export type Release = z.infer<typeof releaseSchema>;
