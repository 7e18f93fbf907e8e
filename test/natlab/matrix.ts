// make natmatrix: what gets through which NATs, measured with the built commands; see cell.ts for a round. Every cell
// runs in a process and a laboratory of its own, JOBS of them at a time, and adds one line of JSON to KEEP when it is
// through; a cell that stands there with as many rounds is not run again. Prints the table as Markdown.
//
//   PAIRS='cone:cone sym:*'    only these; with -: none. `*` is any kind
//   CONDITIONS='loss-5 lan'    only these; with -: none
//   ROUNDS=10 JOBS=4 KEEP=dist/natmatrix.ndjson
//
//   node --import tsx test/natlab/matrix.ts [table]      `table`: only prints what stands in KEEP

import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

import { missingFor, runPair } from './cell.ts'
import { ABOUT, runCondition } from './conditions.ts'
import { type Cell, cellOf, conditionTable, KINDS, latest, pairs, pairTable, readCells } from './table.ts'

const { PAIRS, CONDITIONS, ROUNDS = '10', JOBS = '4', KEEP = 'dist/natmatrix.ndjson' } = process.env
const SELF = fileURLToPath(import.meta.url)

function kept(): Cell[] {
  return existsSync(KEEP) ? readCells(readFileSync(KEEP, 'utf8')) : []
}

/** Those of `all` that `wanted` names: all without, none with '-'. */
function chosen(all: readonly string[], wanted: string | undefined): string[] {
  if (wanted === undefined || wanted === '') return [...all]
  const words = wanted.split(/\s+/).filter((word) => word !== '' && word !== '-')
  const names = words.map((word) => {
    const found = all.filter((name) => fits(name, word))
    if (found.length === 0) throw new Error(`no cell ${word}; kinds: ${KINDS.join(' ')}; conditions: ${Object.keys(ABOUT).join(' ')}`)
    return found
  })
  return all.filter((name) => names.some((found) => found.includes(name)))
}

function fits(name: string, word: string): boolean {
  const [a, b] = word.split(':')
  const [x, y] = name.split(':')
  if (b === undefined || y === undefined) return word === name
  const is = (pattern: string | undefined, kind: string | undefined): boolean => pattern === '*' || pattern === kind
  return (is(a, x) && is(b, y)) || (is(a, y) && is(b, x))
}

/** In this process: one cell. */
async function cell(name: string): Promise<Cell> {
  const [a = '', b] = name.split(':')
  const count = Number(ROUNDS)
  const rounds = b === undefined ? await runCondition(a, count) : await runPair(a, b, count)
  return cellOf(name, new Date().toISOString(), rounds)
}

/** In a process of its own; its line, or undefined if it could not be run. */
async function apart(name: string): Promise<string | undefined> {
  const child = spawn(process.execPath, ['--import', 'tsx', SELF, 'cell', name], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code === 0) return out.trim().split('\n').at(-1)
  console.error(`${name}: could not be run: ${err.trim()}`)
  return undefined
}

function print(cells: readonly Cell[]): void {
  console.log(`${pairTable(cells)}\n\n${conditionTable(cells, ABOUT)}`)
}

async function main([verb, name = '']: string[]): Promise<void> {
  if (verb === 'table') return print(kept())
  if (verb === 'cell') return console.log(JSON.stringify(await cell(name)))
  const wanted = [...chosen(pairs(), PAIRS), ...chosen(Object.keys(ABOUT), CONDITIONS)]
  const known = latest(kept())
  const todo = wanted.filter((each) => (known.get(each)?.rounds ?? 0) < Number(ROUNDS))
  mkdirSync(dirname(KEEP), { recursive: true })
  const work = async (): Promise<void> => {
    for (let each = todo.shift(); each !== undefined; each = todo.shift()) {
      const why = missingFor(each)
      if (why !== undefined) throw new Error(`natlab: ${why}`)
      const line = await apart(each)
      if (line === undefined) process.exitCode = 1
      else {
        appendFileSync(KEEP, `${line}\n`)
        console.error(line)
      }
    }
  }
  await Promise.all(Array.from({ length: Number(JOBS) }, work))
  print(kept())
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error)
  process.exitCode = 1
})
