import { createHash } from 'node:crypto';
import { describeProblems, releaseSchema, type Release } from '@pointsman/schemas';
import { RejectedRevisionError } from '@pointsman/sync';

/** What `release.json` says; where there is none, the one configuration is stable. @throws RejectedRevisionError with every problem. */
export function readRelease(text: string | undefined, configKey: string): Release {
  if (text === undefined) return { stable: { config_key: configKey } };
  const reject = (reason: string): RejectedRevisionError => new RejectedRevisionError(`release-${createHash('sha256').update(text).digest('hex').slice(0, 12)}`, `release.json: ${reason}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw reject('not valid JSON');
  }
  const result = releaseSchema.safeParse(parsed);
  if (!result.success) throw reject(describeProblems(result.error, parsed).map(({ message }) => message).join(' '));
  return result.data;
}
