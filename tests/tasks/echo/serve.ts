import { defineFunction } from '../../../functions/core/function.ts';
import { startServer } from '../../../functions/core/http/server.ts';
import { echo } from './task.ts';

const roles = ['primaryModel', 'fallbackModel'] as const;
await startServer(defineFunction({ name: 'echo', tier: 'primary', task: echo, roles }), 0);
