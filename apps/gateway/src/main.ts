import { runService } from '@pointsman/service';
import { readGatewaySettings } from './settings.ts';
import { startGateway } from './start-gateway.ts';

await runService(async (signal, service) => {
  const settings = readGatewaySettings(process.env);
  const gateway = await startGateway(settings);
  service.useTelemetry(gateway.telemetry);
  service.onReload(() => gateway.reload('SIGHUP'));
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await gateway.drain();
  await gateway.close();
}, { name: 'pointsman-gateway', flushTimeoutMs: 2_000 });
