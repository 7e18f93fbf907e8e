// The commands with another door to the file system: the same sources, bundled as the shipped ones are, but for
// lib/disk/files.ts, in whose place stands door.ts.

import { fileURLToPath } from 'node:url'

import { build, type Plugin } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const DOOR = fileURLToPath(new URL('door.ts', import.meta.url))

const anotherDoor: Plugin = {
  name: 'another door',
  setup(bundle) {
    bundle.onResolve({ filter: /\/files\.ts$/ }, ({ importer }) => (importer.includes('/test/') ? undefined : { path: DOOR }))
  },
}

/** Builds these commands into a folder. */
export async function bundle(commands: string[], folder: string): Promise<void> {
  await build({
    entryPoints: commands.map((command) => `${ROOT}bin/${command}.ts`),
    outdir: folder,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    define: { VERSION: '"0.0.0-crash"' },
    logLevel: 'warning',
    plugins: [anotherDoor],
  })
}
