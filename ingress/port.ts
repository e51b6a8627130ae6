import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { StartError } from './settings.ts';

interface Reserved {
  readonly port: number;
  /** Releases the port for the program that listens there. */
  release(): Promise<void>;
}

/** Reserves a loopback port, or a free one for 0, until it is released. @throws StartError where another program listens there */
export function reserve(port: number): Promise<Reserved> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (fault: NodeJS.ErrnoException) => {
      const why = fault.code === 'EADDRINUSE' ? 'another program listens there' : fault.message;
      reject(new StartError(`Expected a free port for PORT but received ${port}: ${why}`));
    });
    server.listen(port, '127.0.0.1', () => {
      const release = () => new Promise<void>((released) => server.close(() => released()));
      resolve({ port: (server.address() as AddressInfo).port, release });
    });
  });
}

/** A loopback port that was free a moment ago; if another program takes it before its own does, that fails to start. */
export async function freePort(): Promise<number> {
  const { port, release } = await reserve(0);
  await release();
  return port;
}

/** The same for UDP. */
export async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((closed) => socket.close(() => closed()));
  return port;
}
