export type { Spool, SpoolOptions } from './spool.ts';
