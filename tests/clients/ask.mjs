// Asks a running stack through @huggingface/inference and prints what it says as JSON: ask.mjs FOLDER ORIGIN FILE, the package below FOLDER.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [, , folder, origin, file] = process.argv;
const { InferenceClient } = createRequire(join(folder, 'package.json'))('@huggingface/inference');

const client = new InferenceClient(undefined, { endpointUrl: `${origin}/huggingface` });
const data = new Blob([readFileSync(file)], { type: 'image/jpeg' });
const told = await client
  .imageClassification({ data }, { retry_on_error: false })
  .catch(({ message, httpResponse }) => ({ message, status: httpResponse?.status }));
process.stdout.write(JSON.stringify(told));
