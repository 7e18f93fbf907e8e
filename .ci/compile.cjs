// Runs a command as start.cjs does, and keeps what V8 has made of its program until it ends, with what was kept before:
//   node .ci/compile.cjs [--tty] COMMAND [ARGUMENT...]
// With --tty the command takes the pipes that it has for a terminal of 80 columns and 24 lines.

'use strict'

const { createHash } = require('node:crypto')
const { readFileSync, renameSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { Script } = require('node:vm')

const SUM = 32

const tty = process.argv[2] === '--tty'
const [command, ...args] = process.argv.slice(tty ? 3 : 2)
if (tty) {
  Object.assign(process.stdin, { isTTY: true, setRawMode: () => process.stdin })
  Object.assign(process.stdout, { isTTY: true, columns: 80, rows: 24 })
}
const path = join(__dirname, '..', 'dist', 'code', `${command}.cjs`)
const cache = path.replace(/cjs$/, 'cache')
const code = readFileSync(path)
const sum = createHash('sha256').update(code).digest()
let held = Buffer.alloc(0)
try {
  held = readFileSync(cache)
} catch {}
const cachedData = Buffer.compare(sum, held.subarray(0, SUM)) === 0 ? held.subarray(SUM) : undefined

const program = new module.constructor(path, module)
program.filename = path
program.paths = module.paths
const script = new Script(code.toString(), { filename: path, cachedData })
process.on('exit', () => {
  const fresh = `${cache}.${process.pid}`
  writeFileSync(fresh, Buffer.concat([sum, script.createCachedData()]))
  renameSync(fresh, cache)
})
process.argv = [process.argv[0], join(__dirname, '..', 'dist', `${command}.cjs`), ...args]
script.runInThisContext()(program.exports, (id) => program.require(id), program, path)
