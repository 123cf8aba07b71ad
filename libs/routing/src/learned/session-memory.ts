import { LRUCache } from 'lru-cache';

const MAX_SESSIONS = 20_000;
const SESSION_TTL_MS = 3_600_000;

/** Which candidate a conversation was given, of this replica. Bounded; forgets a conversation an hour after its last turn. */
export interface SessionMemory {
  /** Id of the candidate. */
  recall(session: string): string | undefined;
  remember(session: string, candidateId: string): void;
}

export function createSessionMemory(now: () => number): SessionMemory {
  const chosen = new LRUCache<string, string>({ max: MAX_SESSIONS, ttl: SESSION_TTL_MS, updateAgeOnGet: true, perf: { now } });
  return {
    recall: (session) => chosen.get(session),
    remember: (session, candidateId) => void chosen.set(session, candidateId),
  };
}
