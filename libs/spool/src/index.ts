export type { Spool, SpoolIo, SpoolOptions } from './spool.ts';
export { openSpool } from './open-spool.ts';
export { isRejectedRowsError } from './is-rejected-rows-error.ts';
