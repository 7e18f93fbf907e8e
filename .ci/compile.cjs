// Runs a command, and keeps what V8 has made of its program until it ends, with what was kept before:
//   node .ci/compile.cjs [--tty] COMMAND [ARGUMENT...]
// With --tty the command takes the pipes that it has for a terminal of 80 columns and 24 lines; of its screen is kept what
// was needed until it stood there, before NAME.more.cjs is loaded: the less there is, the sooner it is taken in.

'use strict'

const fs = require('node:fs')
const { join } = require('node:path')
const vm = require('node:vm')

const tty = process.argv[2] === '--tty'
const [command, ...args] = process.argv.slice(tty ? 3 : 2)
const start = join(__dirname, '..', 'dist', `${command}.cjs`)
if (tty) {
  Object.assign(process.stdin, { isTTY: true, setRawMode: () => process.stdin })
  Object.assign(process.stdout, { isTTY: true, columns: 80, rows: 24 })
  const { fstatSync } = fs
  fs.fstatSync = (fd) => Object.assign(fstatSync(fd), fd < 2 && { isCharacterDevice: () => true, isFIFO: () => false })
  require('node:tty').isatty = (fd) => fd < 2
}

/** By path: the program, or what was kept of it. */
const scripts = new Map()
vm.Script = class extends vm.Script {
  constructor(code, options) {
    if (tty && String(options.filename).endsWith('.more.cjs')) for (const [path, script] of scripts) scripts.set(path, script.createCachedData())
    super(code, options)
    scripts.set(options.filename, this)
  }
}

process.on('exit', () => {
  for (const [path, script] of scripts) {
    const code = fs.readFileSync(path)
    const cache = path.replace(/cjs$/, 'cache')
    const fresh = `${cache}.${process.pid}`
    const data = script instanceof vm.Script ? script.createCachedData() : script
    fs.writeFileSync(fresh, Buffer.concat([code.subarray(0, code.indexOf(10) + 1), data]))
    fs.renameSync(fresh, cache)
  }
})
process.argv = [process.argv[0], start, ...args]
require(start)
