export { AppError, toAppError, type AppErrorOptions } from './app-error.ts';
export { ERROR_KINDS, type ErrorKind, type ErrorKindFacts } from './error-kinds.ts';
export { describeUnknown } from './describe-unknown.ts';
