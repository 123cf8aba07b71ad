export { CircuitBreaker, DEFAULT_BREAKER_SETTINGS, type BreakerChange, type BreakerPermit, type BreakerSettings, type BreakerState, type CircuitBreakerOptions } from './circuit-breaker.ts';
export { CircuitBreakers, type CircuitBreakersOptions } from './circuit-breakers.ts';
export { Cooldowns, type Cooldown, type CooldownFailure, type CooldownReason, type CooldownSettings } from './cooldowns.ts';
export { RetryBudget, type RetryBudgetOptions } from './retry-budget.ts';
export { PrimaryDeadlineError, withFallback, type WithFallbackOptions } from './with-fallback.ts';
