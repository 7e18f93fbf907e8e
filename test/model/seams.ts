// The shipped code, cut out of its world: one bundle of lib/ with the model around it. Disk, clock and randomness come
// in by the doors that lib/ has for them (Doors). The rest is cut here, at the seams named below: each must be found as
// often as it says, or loading fails. Sizes are made small, so that every kind of message has some hundred bytes. A
// mutation is one more cut: the same code with one thing done wrong.

import { build } from 'esbuild'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import { compileFunction } from 'node:vm'

import type * as Inside from './inside.ts'

/** In the text of `file`, `from` (found `times` times, once without) becomes `to`. */
export interface Cut {
  file: string
  from: string
  to: string
  times?: number
}

/** What the shipped code takes from node or the system other than by a door, and takes from SimFiles here. */
const SYSTEM: Cut[] = [
  // A lock is a directory on the simulated disk; who lives is told by the model's table of processes.
  { file: 'lib/disk/lock.ts', from: "const lock = brief ? briefLock(home) : (await import('proper-lockfile')).lock", to: 'const { lock } = home.files.locks' },
  { file: 'lib/disk/lock.ts', from: 'process.pid', to: 'home.files.pid', times: 2 },
  { file: 'lib/disk/lock.ts', from: 'process.kill(owner.pid, 0)', to: 'home.files.kill(owner.pid)' },
  { file: 'lib/disk/seenindex.ts', from: 'process.pid', to: 'this.#files.pid' },
  // After what can run now.
  { file: 'lib/net/link.ts', from: 'setImmediate(() => {', to: 'this.#clock.soon(() => {' },
  // The doors to the network.
  { file: 'lib/delivery/reach.ts', from: 'clock: home.clock,\n      addresses,', to: 'clock: home.clock,\n      connect: home.files.connect,\n      addresses,' },
  { file: 'lib/delivery/listener.ts', from: 'port: home.port,\n        onLink', to: 'port: home.port,\n        listen: home.files.listen,\n        onLink' },
  // The ciphers are those of suite.ts, which need no known answer.
  { file: 'lib/crypto/suite.ts', from: 'worksHere(nodeSuite)', to: 'true' },
]

/** Bytes, for messages of some hundred; the proportions are kept. */
const SIZES: Cut[] = [
  { file: 'lib/wire/envelope.ts', from: 'INLINE_MAX = 64 * 1024', to: 'INLINE_MAX = 32' },
  { file: 'lib/wire/envelope.ts', from: 'CHUNK = 1 << 20', to: 'CHUNK = 64' },
  { file: 'lib/wire/mail.ts', from: 'EMBED_MAX = 10 * 1024 * 1024', to: 'EMBED_MAX = 96' },
  { file: 'lib/disk/arrival.ts', from: 'SMALL_MAX = INLINE_MAX + HEAD_MAX', to: 'SMALL_MAX = 300' },
  { file: 'lib/disk/largearrival.ts', from: 'CHECKPOINT = 16 * CHUNK', to: 'CHECKPOINT = 2 * CHUNK' },
  { file: 'lib/disk/largearrival.ts', from: 'BLOCK = 256 * 1024', to: 'BLOCK = CHUNK / 2' },
  { file: 'lib/delivery/upload.ts', from: 'SMALL = 64 * 1024', to: 'SMALL = 300' },
  { file: 'lib/delivery/window.ts', from: 'SMALL = 64 * 1024', to: 'SMALL = 300' },
  { file: 'lib/wire/frame.ts', from: 'DATA_MAX = 32_768', to: 'DATA_MAX = 128' },
  { file: 'lib/wire/frame.ts', from: 'DATA_LARGE = 65_280', to: 'DATA_LARGE = 160' },
  { file: 'lib/wire/frame.ts', from: 'PUSH_MAX = 16_384', to: 'PUSH_MAX = 300' },
  { file: 'lib/wire/frame.ts', from: 'PADDED_MAX = 64 * 1024', to: 'PADDED_MAX = 128' },
]

/** Whole files that the model has its own of. */
const REPLACED: Record<string, string> = {
  'lib/base/key.ts': 'test/model/key.ts',
  'lib/wire/token.ts': 'test/model/token.ts',
  'lib/disk/contact.ts': 'test/model/contact.ts',
  'lib/crypto/suite-node.ts': 'test/model/suite.ts',
  'lib/net/interfaces.ts': 'test/model/interfaces.ts',
  'lib/delivery/control.ts': 'test/model/control.ts',
  'lib/delivery/udpside.ts': 'test/model/noudp.ts',
  'lib/delivery/callport.ts': 'test/model/noudp.ts',
  'lib/delivery/portmapping.ts': 'test/model/noudp.ts',
  'lib/delivery/neighbours.ts': 'test/model/noudp.ts',
  'lib/delivery/controldoor.ts': 'test/model/control.ts',
}

const TOP = resolve(import.meta.dirname, '../..')

/** The model around the shipped code, with these cuts more. */
export async function load(mutation: readonly Cut[] = []): Promise<typeof Inside> {
  const cuts = [...SYSTEM, ...SIZES, ...mutation]
  const open = new Set(cuts)
  const { outputFiles } = await build({
    entryPoints: [resolve(TOP, 'test/model/inside.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    sourcemap: false,
    logLevel: 'silent',
    absWorkingDir: TOP,
    plugins: [
      {
        name: 'seams',
        setup(hooks) {
          hooks.onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
            const wanted = relative(TOP, resolve(resolveDir, path))
            const instead = REPLACED[wanted]
            const from = relative(TOP, resolveDir)
            if (instead === undefined || from === 'test/model') return undefined
            return { path: resolve(TOP, instead) }
          })
          hooks.onLoad({ filter: /\/(?:lib|test\/model)\/.*\.ts$/ }, ({ path }) => {
            const file = relative(TOP, path)
            let contents = readFileSync(path, 'utf8')
            for (const cut of cuts) {
              if (cut.file !== file) continue
              open.delete(cut)
              const pieces = contents.split(cut.from)
              if (pieces.length - 1 !== (cut.times ?? 1)) {
                throw new Error(`${file}: '${cut.from}' found ${pieces.length - 1} times, not ${cut.times ?? 1}`)
              }
              contents = pieces.join(cut.to)
            }
            return { contents, loader: 'ts', resolveDir: dirname(path) }
          })
        },
      },
    ],
  })
  for (const { file, from } of open) throw new Error(`${file}: '${from}' was not looked at`)
  const code = outputFiles[0]?.text ?? ''
  const module = { exports: {} as typeof Inside }
  const run = compileFunction(code, ['require', 'module', 'exports'], { filename: 'model.cjs' })
  ;(run as (...args: unknown[]) => void)(createRequire(import.meta.url), module, module.exports)
  return module.exports
}
