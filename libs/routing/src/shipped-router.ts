import { fileURLToPath } from 'node:url';

/** The router model that ships with the product, for strategies whose configuration names none: it tells hard prompts from easy ones (columns `weak` and `strong`). */
export const shippedRouterDirectory = fileURLToPath(new URL('../assets/default-router/', import.meta.url));
