import { createHash } from 'node:crypto';

const MAX_PART = 128;

/**
 * The Redis key of one counter: `pm:{scope}:w:requests`. The scope is the hash tag, so that all counters of a scope lie in one slot of a cluster.
 * Scopes and names may come from clients (an end user's id): long ones are hashed, and so are those whose braces would make another hash tag.
 */
export function counterKey(scope: string, kind: 'window' | 'parallel' | 'budget', name: string): string {
  return `pm:{${scope.length > MAX_PART || scope.includes('{') || scope.includes('}') ? digestOf(scope) : scope}}:${LETTERS[kind]}:${boundedName(name)}`;
}

/** What is longer than 128 characters by its digest: keys stay small whatever a client sends. */
export function boundedName(name: string): string {
  return name.length > MAX_PART ? digestOf(name) : name;
}

const LETTERS = { window: 'w', parallel: 'p', budget: 'b' } as const;

function digestOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('hex')}`;
}
