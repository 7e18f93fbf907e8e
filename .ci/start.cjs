#!/usr/bin/env node
'use strict'

// How every command starts; make puts it in place under the name of each. The program is code/NAME.cjs. make install
// lays beside it, as code/NAME.cache, what V8 has made of it before: that it is of exactly this program its first 32
// bytes say, that it is for this V8 V8 itself checks. Without it the command starts some 15 ms later.

// An old node, which npm and dpkg do not stop, is told apart from a bug; node 16 still understands this file.
;(function (v) {
  if (v[0] > 20 || (v[0] == 20 && v[1] >= 19)) return
  console.error('p2p needs Node.js 20.19 or newer: ' + process.execPath + ' is ' + process.version)
  process.exit(78)
})(process.versions.node.split('.'))

const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { basename, join } = require('node:path')
const { Script } = require('node:vm')

const SUM = 32

const path = join(__dirname, 'code', basename(__filename))
const code = readFileSync(path)

function cached() {
  try {
    const cache = readFileSync(path.replace(/cjs$/, 'cache'))
    const sum = createHash('sha256').update(code).digest()
    return Buffer.compare(sum, cache.subarray(0, SUM)) === 0 ? cache.subarray(SUM) : undefined
  } catch {
    return undefined
  }
}

const program = new module.constructor(path, module)
program.filename = path
program.paths = module.paths
const script = new Script(code.toString(), { filename: path, cachedData: cached() })
script.runInThisContext()(program.exports, (id) => program.require(id), program, path)
