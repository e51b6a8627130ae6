import { defineFunction } from '../../../functions/core/function.ts';
import { startServer } from '../../../functions/core/http/server.ts';
import { echo } from './task.ts';

await startServer(defineFunction({ name: 'echo', tier: 'primary', task: echo }), 0);
