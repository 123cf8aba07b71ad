export type { SseEvent } from './sse.ts';
