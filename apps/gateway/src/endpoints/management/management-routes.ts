import { budgetRoutes } from './budget-routes.ts';
import { keyRoutes } from './key-routes.ts';
import type { ManagementRoute } from './management-route.ts';
import { spendRoutes } from './spend-routes.ts';
import { teamRoutes } from './team-routes.ts';
import { userRoutes } from './user-routes.ts';

/** Every admin route: what is served, documented and tested against bad input. */
export const managementRoutes: readonly ManagementRoute[] = [...keyRoutes, ...teamRoutes, ...userRoutes, ...budgetRoutes, ...spendRoutes];

/** Admin surfaces of LiteLLM that this gateway does not have. */
export const UNSUPPORTED_MANAGEMENT = ['/customer', '/end_user', '/organization', '/project', '/credentials', '/access_group', '/tag'];
