import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import type { Admission } from '../access/limits.ts';
import type { Exchange } from '../http/exchange.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import type { GatewayContext } from './gateway-context.ts';

const NO_COMPLETION: JsonObject = { max_tokens: 0 };

/**
 * Takes a place under the caller's limits for a request that asks no model for tokens here: it counts as a request, and as one that runs. The caller settles it.
 * @throws AppError of the limits.
 */
export async function admitWithoutTokens(context: Pick<GatewayContext, 'limits'>, exchange: Exchange, plan: GroupPlan): Promise<Admission> {
  const admitted = await context.limits.admit(exchange.principal, { plan, outline: NO_COMPLETION, endUser: undefined, promptTokens: () => 0 });
  if (admitted instanceof AppError) throw admitted;
  exchange.admissionHeaders = admitted.headers;
  return admitted;
}

/** The limits' headers of an exchange as an object: what `sendJson` takes. */
export function limitHeaders({ admissionHeaders }: Exchange): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (let index = 0; admissionHeaders !== undefined && index + 1 < admissionHeaders.length; index += 2) headers[admissionHeaders[index] as string] = admissionHeaders[index + 1] as string;
  return headers;
}

/** Nothing was spent. */
export const NOTHING_USED = { totalTokens: 0, costUsd: 0 } as const;
