// `p2p send ...` is p2p-send in this very process: the bundle beside the running one is loaded as if it had been
// called. Options in front of the word are handed on. Nothing else here: without a word p2p itself runs.

import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'

import { EX, Failure } from '../base/fail.ts'
import { nearest, quote } from '../base/text.ts'
import { type Handler, main } from './cli.ts'
import { showPage } from './manual.ts'
import { COMMON, type Command } from './table.ts'

const PREFIX = 'p2p-'

/** Pages that are no command's, by word; `p2p help` is p2p(7). */
const PAGES = new Map([
  ['config', '5'],
  ['record', '5'],
  ['spool', '5'],
  ['wire', '7'],
])

/** The file that runs, as it was called: it may be a link. */
function calledAs(): string {
  return process.argv[1] ?? ''
}

/** Where the file of another command is looked for: beside the name this one was called by, then beside the file. */
export function siblingPaths(command: string): string[] {
  const called = calledAs()
  const real = realPath(called)
  return [called, real].map((path) => join(dirname(path), command + extname(path)))
}

/** The folder of the running program's own files, links followed. */
export function programFolder(): string {
  return dirname(realPath(calledAs()))
}

/** Without node:fs, which is for one file of the house: looking a module up follows links. */
function realPath(path: string): string {
  try {
    return createRequire(join(dirname(path), 'p2p')).resolve(path)
  } catch {
    return path
  }
}

interface Line {
  before: string[]
  word: string | undefined
  after: string[]
}

/** The first argument that is no option and no value of one; `--` ends the looking. */
export function splitLine(argv: string[]): Line {
  const takesValue = new Set(COMMON.filter(({ kind }) => kind !== 'flag').map(({ name }) => `--${name}`))
  let at = 0
  for (let each = argv[0] ?? ''; /^-./.test(each) && each !== '--'; each = argv[at] ?? '') {
    at += takesValue.has(each) ? 2 : 1
  }
  const word = argv[at] === '--' ? undefined : argv[at]
  if (word === undefined) return { before: argv, word, after: [] }
  return { before: argv.slice(0, at), word, after: argv.slice(at + 1) }
}

/** Runs what the arguments ask for: the last line of bin/p2p.ts. `names` are all commands, p2p itself among them. */
export function dispatch(command: Command, handler: Handler, names: readonly string[]): void {
  const { before, word, after } = splitLine(process.argv.slice(2))
  const words = names.filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length))
  if (word === undefined) return main(command, { '': handler })
  if (words.includes(word)) return become(command, PREFIX + word, [...before, ...after])
  if (word === 'help') {
    const [topic, surplus] = after.filter((each) => each !== '--')
    if (surplus !== undefined) return refuse(command, before, `surplus argument ${quote(surplus)}`)
    const page = topic?.startsWith(PREFIX) === true ? topic.slice(PREFIX.length) : topic
    if (page === undefined || page === 'p2p') return void help(command, '7', command.name)
    if (words.includes(page)) return void help(command, '1', PREFIX + page)
    const section = PAGES.get(page)
    if (section !== undefined) return void help(command, section, PREFIX + page)
    return refuse(command, before, unknown('no manual page', page, [...words, ...PAGES.keys()]))
  }
  refuse(command, before, unknown('unknown command', word, [...words, 'help']))
}

function unknown(what: string, word: string, known: readonly string[]): string {
  const meant = nearest(word, known)
  return `${what} ${quote(word)}${meant === undefined ? '' : `: did you mean '${meant}'?`}`
}

/** Ends with 64 as any command does, whatever the options in front were. */
function refuse(command: Command, before: string[], message: string): void {
  const kept = before.filter((each) => /^(?:-[qv]+|--quiet|--verbose)$/.test(each))
  runItself(command, kept, () => Promise.reject(new Failure(EX.USAGE, message, 'p2p --help')))
}

function runItself(command: Command, options: string[], handler: Handler): void {
  process.argv.splice(2, Infinity, ...options)
  main(command, { '': handler })
}

/** Turns this process into another command; its bundle reads process.argv when it is loaded. */
function become(command: Command, name: string, argv: string[]): void {
  const [beside = '', own = ''] = siblingPaths(name)
  const load = createRequire(own)
  try {
    load.resolve(own)
  } catch {
    const missing = new Failure(EX.CONFIG, `${own} is missing: ${name} is not installed beside p2p`)
    return runItself(command, [], () => Promise.reject(missing))
  }
  process.argv.splice(1, Infinity, realPath(beside) === realPath(own) ? beside : own, ...argv)
  load(own)
}

/** The manual page of a word, else what --help says. */
async function help(command: Command, section: string, name: string): Promise<void> {
  const code = await showPage(section, name, join(programFolder(), '..', 'man'))
  if (code !== undefined) process.exitCode = code
  else if (section === '1') become(command, name, ['--help'])
  else if (name === command.name) runItself(command, ['--help'], () => Promise.resolve())
  else {
    const missing = new Failure(EX.NO_INPUT, `no manual page ${name}(${section}) on this machine`)
    runItself(command, [], () => Promise.reject(missing))
  }
}
