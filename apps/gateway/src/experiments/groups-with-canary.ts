import type { RouterSettings } from '@pointsman/gateway-config';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/** The label of groups that name no model: they are served by the one that ships with the product. */
const SHIPPED = 'shipped';

/** The arguments of the strategy that decides for a group. */
export function argsOfGroup({ strategyArgs, strategies }: Pick<RouterSettings, 'strategyArgs' | 'strategies'>, group: string): JsonObject {
  return (Object.hasOwn(strategies, group) ? strategies[group]?.args : undefined) ?? strategyArgs;
}

export function routerModelOf(args: JsonObject): string {
  const name = args['model_name'];
  return typeof name === 'string' && name !== '' ? name : SHIPPED;
}

/** The versions that share a group's traffic. */
export interface GroupExperiment {
  readonly group: string;
  readonly model: string;
  readonly stable: string;
  readonly canary: string;
  /** Percent. */
  readonly weight: number;
}

/** The groups of a configuration that have a canary. */
export function groupsWithCanary(router: Pick<RouterSettings, 'strategyArgs' | 'strategies'>, groups: readonly string[]): readonly GroupExperiment[] {
  return groups.flatMap((group): GroupExperiment[] => {
    const args = argsOfGroup(router, group);
    const { canary, model_version: stable } = args;
    if (!isJsonObject(canary)) return [];
    const { model_version: version, weight } = canary;
    if (typeof version !== 'string') return [];
    return [{ group, model: routerModelOf(args), stable: typeof stable === 'string' ? stable : '', canary: version, weight: typeof weight === 'number' ? weight : 0 }];
  });
}
