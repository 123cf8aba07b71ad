export { runService, EXIT_CONFIG, EXIT_FAILED, EXIT_OK, type RunServiceOptions, type Service } from './run-service.ts';
export { readSettings, type ReadSettingsOptions } from './read-settings.ts';
export { SettingsError, type SettingsProblem } from './settings-error.ts';
export { telemetrySettings, telemetryVariables, type TelemetryVariables } from './common-settings.ts';
/** Schemas of environment variables: `setting.port().default(4000)`. */
export * as setting from './setting.ts';
export { startHealthServer, type HealthReport, type HealthServer, type HealthServerSettings, type HealthState } from './health-server.ts';
