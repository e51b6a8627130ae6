import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import startWabt from 'wabt';

/** Of the folder functions/tasks/image, relative to the repository because the texts are not copied into dist. */
const modules = ['passes', 'scan'] as const;

/** The text in functions/tasks/image/NAME.wat as WebAssembly, in base64. @throws Error that quotes the faulty line */
export async function assemble(name: (typeof modules)[number]): Promise<string> {
  const source = `functions/tasks/image/${name}.wat`;
  const wabt = await startWabt();
  const parsed = wabt.parseWat(source, readFileSync(source, 'utf8'), { simd: true });
  parsed.validate();
  const { buffer } = parsed.toBinary({});
  parsed.destroy();
  return Buffer.from(buffer).toString('base64');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const name of modules) {
    const code = `/** \`${name}.wat\` in base64; a test holds the two together. */\nexport const ${name} =\n  '${await assemble(name)}';\n`;
    writeFileSync(`functions/tasks/image/${name}.ts`, code);
  }
}
