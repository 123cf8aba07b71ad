import type { LiveValue } from '@pointsman/live-value';
import type { UpstreamPools } from '@pointsman/providers';
import type { PriceMap } from '@pointsman/pricing';
import type { CircuitBreakers } from '@pointsman/resilience';
import type { Telemetry } from '@pointsman/telemetry';
import type { Bandits } from '../bandit/open-bandits.ts';
import type { KeyStore } from '../access/key-store.ts';
import type { Limits } from '../access/limits.ts';
import type { ResponseCache } from '../cache/response-cache.ts';
import type { DispatchParts } from '../dispatch/dispatch.ts';
import type { DrainGate } from '../http/drain-gate.ts';
import type { Exchange } from '../http/exchange.ts';
import type { AuditSink } from '../record/audit-sink.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { Judge } from '../judge/open-judge.ts';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import type { ReloadReport } from '../snapshot/follow-config.ts';
import type { GatewayDatabase } from '../state/gateway-database.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** What outlives every request and every snapshot; made once in start-gateway.ts. */
export interface GatewayContext {
  readonly live: LiveValue<Snapshot>;
  readonly gate: DrainGate;
  readonly telemetry: Telemetry;
  readonly metrics: GatewayMetrics;
  readonly keys: KeyStore;
  readonly limits: Limits;
  readonly cache: ResponseCache;
  readonly database: GatewayDatabase;
  readonly audit: AuditSink;
  /** Has a share of the answers judged in the background. */
  readonly judge?: Pick<Judge, 'sample'> | undefined;
  /** What is learned online from feedback. */
  readonly bandits?: Pick<Bandits, 'rate'> | undefined;
  /** Books a request that is over, before the last byte of its reply is written. Never throws. */
  readonly book: (exchange: Exchange, record: ExchangeRecord) => void;
  /** Tells every replica that these keys (hashes; undefined = all) are not what they were. */
  readonly accessChanged: (tokens: readonly string[] | undefined) => void;
  readonly pools: UpstreamPools;
  readonly breakers: CircuitBreakers;
  readonly prices: PriceMap;
  readonly dispatch: DispatchParts;
  /** Names of the services that are away now: what `/health/readiness` shows. */
  readonly degraded?: () => readonly string[];
  /** The state of configuration for `/health/config`. */
  readonly reloadReport: () => ReloadReport;
  /** Reads the configuration and the router models again; resolves when that is done, whatever came of it. */
  readonly reload: (reason: string) => Promise<void>;
}
