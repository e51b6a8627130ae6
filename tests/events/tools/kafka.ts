import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../../ingress/port.ts';
import { kafkaLibraries } from './cache.ts';
import { createServer, type Server } from './server.ts';

const classPath = ['-cp', join(kafkaLibraries, '*')];

/** A heap of its default size ends in an OutOfMemoryError with the default buffer of the log cleaner, which is set below. */
const memory = ['-Xmx128m', '-Xms64m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** A broker with its own controller, not started yet, whose files lie in the folder. It makes no topic by itself. */
export async function createKafka(folder: string): Promise<Server> {
  const [port, controllerPort] = [await freePort(), await freePort()];
  const properties = join(folder, 'server.properties');
  writeFileSync(properties, settings({ folder, port, controllerPort }));
  const id = randomBytes(16).toString('base64url');
  const format = [...memory, ...classPath, 'kafka.tools.StorageTool', 'format', '-t', id, '-c', properties];
  await promisify(execFile)('java', format);
  const args = [...memory, ...classPath, 'kafka.Kafka', properties];
  return createServer({ file: 'java', args, port, logFile: join(folder, 'broker.log') });
}

function settings(place: { readonly folder: string; readonly port: number; readonly controllerPort: number }): string {
  const broker = `PLAINTEXT://127.0.0.1:${place.port}`;
  const controller = `127.0.0.1:${place.controllerPort}`;
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${controller}`,
    listeners: `${broker},CONTROLLER://${controller}`,
    'advertised.listeners': broker,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'log.dirs': join(place.folder, 'log'),
    'offsets.topic.num.partitions': 1,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': false,
    'log.cleaner.dedupe.buffer.size': 8_388_608,
  })
    .map((pair) => `${pair.join('=')}\n`)
    .join('');
}
