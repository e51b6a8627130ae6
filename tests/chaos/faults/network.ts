import { connect, type Socket } from 'node:net';
import { evaluate, type Fault, pause, type Stage } from '../fault.ts';

/** Duration of bad clients. */
const badMs = 6000;

function head(length: number): string {
  return `POST /classify HTTP/1.1\r\nHost: chaos\r\nContent-Type: image/jpeg\r\nContent-Length: ${length}\r\n\r\n`;
}

function open({ stack }: Stage): Socket {
  const socket = connect(stack.port, '127.0.0.1');
  socket.on('error', () => {}); // such a client expects to be disconnected
  socket.resume();
  return socket;
}

/** `count` connections that act every `intervalMs`, beside the driver. */
function crowd(
  name: string,
  count: number,
  intervalMs: number,
  act: (socket: Socket, stage: Stage, round: number) => void,
): Fault {
  return {
    name,
    async strike(stage) {
      const sockets = Array.from({ length: count }, () => open(stage));
      try {
        for (let round = 0; round * intervalMs < badMs; round += 1) {
          for (const socket of sockets) act(socket, stage, round);
          await pause(stage, intervalMs);
        }
      } finally {
        for (const socket of sockets) socket.destroy();
      }
    },
  };
}

/** Every `intervalMs` a new connection sends `part` of an upload and resets `goneAfterMs` later. */
function leavers(name: string, intervalMs: number, part: number, goneAfterMs: number): Fault {
  return {
    name,
    async strike(stage) {
      const sockets = new Set<Socket>();
      try {
        for (const end = performance.now() + badMs; performance.now() < end; await pause(stage, intervalMs)) {
          const { bytes } = stage.photos.calm[0] as (typeof stage.photos.calm)[number];
          const socket = open(stage);
          sockets.add(socket);
          socket.once('close', () => sockets.delete(socket));
          socket.write(head(bytes.length));
          socket.write(bytes.subarray(0, bytes.length * part));
          setTimeout(() => socket.resetAndDestroy(), goneAfterMs);
        }
      } finally {
        for (const socket of sockets) socket.destroy();
      }
    },
  };
}

const connectionsReset: Fault = {
  name: 'all connections to the primary reset',
  async strike(stage) {
    const port = stage.stack.functionPort('primary');
    const isOurs = `handle.constructor.name === 'Socket' && handle.localPort === ${port}`;
    const reset = `for (const handle of process._getActiveHandles()) if (${isOurs}) handle.resetAndDestroy()`;
    for (let time = 0; time < 5; time += 1) {
      await evaluate(stage, 'primary', reset);
      await pause(stage, 500);
    }
  },
};

const portClosed: Fault = {
  name: "primary's port closed 4 s",
  async strike(stage) {
    const port = stage.stack.functionPort('primary');
    const find = `process._getActiveHandles().find((handle) => handle.listening && handle.address()?.port === ${port})`;
    const close = `globalThis.closed = ${find}; globalThis.closed.close(); globalThis.closed.closeIdleConnections()`;
    await evaluate(stage, 'primary', close);
    await pause(stage, 4000).finally(() => evaluate(stage, 'primary', `globalThis.closed.listen(${port})`));
  },
};

/** Faults of clients and connections. */
export const networkFaults = {
  slowClients: crowd('slow clients', 100, 250, (socket, { photos }, round) => {
    const { bytes } = photos.calm[0] as (typeof photos.calm)[number];
    socket.write(round === 0 ? head(bytes.length) : bytes.subarray(round, round + 1));
  }),
  halfOpen: crowd('half-open connections', 500, badMs, () => {}),
  halfHeads: crowd('half a head', 300, badMs, (socket) => void socket.write(head(1).slice(0, 30))),
  aborted: leavers('aborted uploads', 20, 0.5, 30),
  gone: leavers('clients that leave', 40, 1, 5),
  connectionsReset,
  portClosed,
} as const satisfies Readonly<Record<string, Fault>>;
