import { once } from 'node:events';
import { createServer } from 'node:net';

/** Why nobody can listen on this address; undefined when it is free. Port 0 always is. */
export async function portProblem(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EADDRINUSE') return `Port ${port} is in use: another pod may be running. Stop it, or start this one elsewhere: PORT=${port < 65_535 ? port + 1 : 4_000} npm start`;
    if (code === 'EACCES') return `Port ${port} needs root. Choose one above 1023: PORT=4000 npm start`;
    return `Cannot listen on ${host}:${port}: ${String(code)}`;
  }
  server.close();
  await once(server, 'close');
  return undefined;
}

/** A port that nobody listens on at this moment. */
export async function freePort(host: string): Promise<number> {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
