import type { ConfiguredModel, GatewayConfig } from '@pointsman/gateway-config';
import type { Provider } from '@pointsman/providers';
import type { JsonValue } from '@pointsman/schemas';
import type { CircuitBreaker } from '@pointsman/resilience';
import type { Candidate, Decider } from '@pointsman/routing';
import type { Usage } from '@pointsman/wire-formats';

/** One deployment, ready to serve: everything that does not change from request to request is made here, once. */
export interface Deployment {
  readonly configured: ConfiguredModel;
  readonly candidate: Candidate;
  readonly provider: Provider;
  /** Shared with earlier and later snapshots by deployment id: a reload does not close an open breaker. */
  readonly breaker: CircuitBreaker;
  /** USD for a usage; undefined where the price is not known. */
  readonly costOf: ((usage: Usage) => number) | undefined;
  /** Parameters a request gets where the client set none; undefined when there are none, which is the common case. */
  readonly bodyDefaults: ReadonlyMap<string, JsonValue> | undefined;
}

/** A model group, ready to be routed. */
export interface GroupPlan {
  readonly group: string;
  readonly candidates: readonly Candidate[];
  readonly deployments: readonly Deployment[];
  readonly deploymentOf: ReadonlyMap<Candidate, Deployment>;
  readonly decider: Decider;
  /** The candidates over their `rpm` or `tpm` are left out, whatever the strategy. */
  readonly enforcesRateLimits: boolean;
  /** The strategy decides by what is asked. */
  readonly readsPrompt: boolean;
}

/** A group of the configuration as `/v1/models` and `/model/info` list it. */
export interface ListedModel {
  readonly name: string;
  readonly models: readonly ConfiguredModel[];
}

/**
 * What serves requests: maps, functions and loaded models made from one configuration. Immutable.
 * A request holds a lease on one snapshot from its first byte to its last.
 */
export interface Snapshot {
  readonly revision: string;
  /** Milliseconds since the epoch; 0 before the first valid configuration. */
  readonly appliedAtMs: number;
  readonly config: GatewayConfig;
  /** False only before the first valid configuration. */
  readonly ready: boolean;
  /** The plan for a name: alias, group or wildcard. Undefined for a name nobody configured; a promise only the first time a wildcard meets a name. */
  plan(name: string): GroupPlan | Promise<GroupPlan> | undefined;
  /** The plan with what a client may set for itself (`configurable_clientside_auth_params`) in place of the operator's. */
  withClientSide(plan: GroupPlan, clientSide: ReadonlyMap<string, string>): Promise<GroupPlan>;
  readonly listed: readonly ListedModel[];
  /** The first deployment of a provider: whose credentials a pass-through route uses. */
  readonly byProvider: ReadonlyMap<string, Deployment>;
  /** Gives back what the snapshot holds: connection pools, loaded models. Called when its last lease ends. */
  close(): void;
}
