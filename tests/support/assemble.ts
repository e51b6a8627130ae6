import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import startWabt from 'wabt';

/** Relative to the repository, because it is not copied into dist. */
const source = 'functions/shared/passes.wat';

/** The text in functions/shared/passes.wat as WebAssembly, in base64. @throws Error that quotes the faulty line */
export async function assemblePasses(): Promise<string> {
  const wabt = await startWabt();
  const parsed = wabt.parseWat(source, readFileSync(source, 'utf8'), { simd: true });
  parsed.validate();
  const { buffer } = parsed.toBinary({});
  parsed.destroy();
  return Buffer.from(buffer).toString('base64');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const code = `/** \`passes.wat\` in base64; a test holds the two together. */\nexport const passes =\n  '${await assemblePasses()}';\n`;
  writeFileSync('functions/shared/passes.ts', code);
}
