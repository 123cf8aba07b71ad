export type { HeldLock, LockService } from './lock.ts';
