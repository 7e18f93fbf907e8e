#!/usr/bin/env node
'use strict'

// How every command starts; make puts it in place under the name of each. The program is code/NAME.cjs, and what it
// loads when it is needed code/NAME.*.cjs (.ci/bundle.ts). make install lays beside them, as *.cache, what V8 has made
// of them before: that it is of this very program its first line says, that it is for this V8 V8 itself checks. Without
// them the command starts some 15 ms later.

// An old node, which npm and dpkg do not stop, is told apart from a bug; node 16 still understands this file.
;(function (v) {
  if (v[0] > 20 || (v[0] == 20 && v[1] >= 19)) return
  console.error('p2p needs Node.js 20.19 or newer: ' + process.execPath + ' is ' + process.version)
  process.exit(78)
})(process.versions.node.split('.'))

const { closeSync, fstatSync, openSync, readSync } = require('node:fs')
const { basename, join } = require('node:path')
const { Script } = require('node:vm')

const folder = join(__dirname, 'code')
const name = basename(__filename, '.cjs')

/** Parts of node that take a millisecond or more to load, and that most calls do not come to use. */
const HEAVY = new Set(['child_process', 'crypto', 'dgram', 'http', 'net', 'os', 'stream', 'tty', 'v8'].flatMap((part) => [part, `node:${part}`]))

/** Loads one of them when something of it is first asked for. */
function later(id) {
  let part
  return new Proxy({}, {
    get: (_, key) => (part ??= require(id))[key],
    has: (_, key) => key in (part ??= require(id)),
    ownKeys: () => Reflect.ownKeys((part ??= require(id))), // import * as
    getOwnPropertyDescriptor(_, key) {
      const found = Object.getOwnPropertyDescriptor((part ??= require(id)), key)
      return found && { ...found, configurable: true }
    },
  })
}

/** The further files of the program. */
const rest = new RegExp(`^\\./${name}\\.`)

/** Bytes of the first line of a program, as .ci/bundle.ts writes it: as many eights, or V8 copies what comes after it. */
const LINE = 128

/** Where files are read into, one after the other: each page that a process has not had before costs as much as filling it. */
let room = Buffer.allocUnsafeSlow(2 ** 19)

/** A file, until the next one is read. */
function read(path) {
  const file = openSync(path)
  try {
    const { size } = fstatSync(file)
    if (size > room.length) room = Buffer.allocUnsafeSlow(size)
    let end = 0
    while (end < size) {
      const count = readSync(file, room, end, size - end)
      if (count === 0) break
      end += count
    }
    return room.subarray(0, end)
  } finally {
    closeSync(file)
  }
}

/** What V8 has kept of `code`, if it is of this very program: the first line of both files is the sum of it. */
function kept(path, code) {
  try {
    const cache = read(path.slice(0, -'cjs'.length) + 'cache')
    if (code[LINE - 1] !== '\n' || cache.latin1Slice(0, LINE) !== code.slice(0, LINE)) return undefined
    return new Uint8Array(cache.buffer, LINE, cache.length - LINE)
  } catch {
    return undefined
  }
}

/** Runs a file of the program; its parts know each other by these names. */
function run(file) {
  const path = join(folder, file)
  const code = read(path).latin1Slice() // it is ASCII
  const part = new module.constructor(path, module)
  part.filename = path
  part.paths = module.paths
  const load = (id) => {
    if (HEAVY.has(id)) return later(id)
    if (id === 'p2p:shared') return (shared ??= first.exports.shared())
    return rest.test(id) ? (more[id] ??= run(id)).exports : part.require(id)
  }
  if (file === `${name}.cjs`) first = part
  const script = new Script(code, { filename: path, cachedData: kept(path, code) })
  script.runInThisContext()(part.exports, load, part, path)
  return part
}

const more = {}
let first
let shared
run(`${name}.cjs`)
