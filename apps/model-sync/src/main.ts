import { runService, SettingsError, telemetrySettings } from '@pointsman/service';
import { startTelemetry } from '@pointsman/telemetry';
import { HELP, readArguments } from './arguments.ts';
import { readModelSyncSettings } from './settings.ts';
import { startModelSync } from './start-model-sync.ts';

const words = process.argv.slice(2);
if (words.includes('--help') || words.includes('-h')) process.stdout.write(HELP);
else {
  await runService(async (signal, service) => {
    const { once, problems } = readArguments(words);
    const settings = settingsOf(problems);
    const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'model-sync', version: '0.1.0' }));
    service.useTelemetry(telemetry);
    await telemetry.librariesTraced;
    const sync = await startModelSync(settings, { telemetry, once });
    const stop = (): void => void sync.close();
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    try {
      await sync.ended;
    } finally {
      await sync.close();
    }
  }, { name: 'model-sync', stopTimeoutMs: 20_000 });
}

/** What is wrong with the arguments and what is wrong with the environment is told together. */
function settingsOf(problems: SettingsError['problems']): ReturnType<typeof readModelSyncSettings> {
  try {
    const settings = readModelSyncSettings(process.env);
    if (problems.length > 0) throw new SettingsError(problems);
    return settings;
  } catch (error) {
    if (error instanceof SettingsError && error.problems !== problems) throw new SettingsError([...problems, ...error.problems]);
    throw error;
  }
}
