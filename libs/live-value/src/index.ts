export { LiveValue, type Lease } from './live-value.ts';
