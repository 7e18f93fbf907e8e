// The commands with another door to the file system: the same sources, laid out as make lays out the shipped ones, but
// for lib/disk/files.ts, in whose place stands door.ts. Started through warm() they keep what V8 made of them, as after
// make install: a sweep starts them thousands of times.

import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build, type Plugin } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const DOOR = fileURLToPath(new URL('door.ts', import.meta.url))

/** By name, what lies beside the programs as NAME.cjs: the Makefile's table. */
const PACKAGES = new Map(
  [...(/^PACKAGES = (.*(?:\\\n.*)*)$/m.exec(readFileSync(`${ROOT}Makefile`, 'utf8'))?.[1] ?? '').matchAll(/([\w-]+)=(\S+)/g)].map(
    ([, file = '', name = '']) => [name, file],
  ),
)

const anotherDoor: Plugin = {
  name: 'another door',
  setup(bundle) {
    bundle.onResolve({ filter: /\/files\.ts$/ }, ({ importer }) => (importer.includes('/test/') ? undefined : { path: DOOR }))
    bundle.onResolve({ filter: /^[@a-z]/ }, ({ path }) => {
      const file = PACKAGES.get(path)
      return file === undefined ? undefined : { path: `./${file}.cjs`, external: true }
    })
  },
}

/** Builds these commands into a folder; dist/ must have been built. */
export async function bundle(commands: string[], folder: string): Promise<void> {
  const code = join(folder, 'dist/code')
  mkdirSync(code, { recursive: true })
  for (const file of PACKAGES.values()) cpSync(`${ROOT}dist/code/${file}.cjs`, join(code, `${file}.cjs`))
  cpSync(`${ROOT}.ci/compile.cjs`, join(folder, 'ci/compile.cjs'))
  for (const command of commands) cpSync(`${ROOT}.ci/start.cjs`, join(folder, `dist/${command}.cjs`))
  await build({
    entryPoints: commands.map((command) => `${ROOT}bin/${command}.ts`),
    outdir: code,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    supported: { 'dynamic-import': false },
    external: ['udx-native'],
    banner: { js: '(function (exports, require, module, __filename) {' },
    footer: { js: '})' },
    define: { VERSION: '"0.0.0-crash"' },
    logLevel: 'warning',
    plugins: [anotherDoor],
  })
}

/** How such a command is started; `warm`: so that it keeps what V8 makes of it. */
export function bundled(folder: string, command: string, warm: boolean): string[] {
  return warm ? [process.execPath, join(folder, 'ci/compile.cjs'), command] : [process.execPath, join(folder, `dist/${command}.cjs`)]
}
