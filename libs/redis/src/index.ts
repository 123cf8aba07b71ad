export type { Channel } from './channel.ts';
export type { KeyValue } from './key-value.ts';
export type {
  BudgetCheck, LimitCheck, LimitCounters, ParallelCheck, Refusal, Reservation, ScopeChecks, Standing, Used, WindowCheck,
} from './limit-counters.ts';
