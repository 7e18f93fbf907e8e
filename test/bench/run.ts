// make bench: what the commands cost, beside the programs that do the nearest thing, on the same machine in the same
// minutes. Prints min / median / max of both sides, their ratio and whether it holds, then one JSON line per figure.
// Exits 0 whatever the figures say, 1 if a row could not be run.
//
//   node --import tsx test/bench/run.ts [ROW...]       rows: start deliver look memory ndjson flush file

import { cpus, loadavg, release } from 'node:os'

import { file, flush, ndjson } from './bulk.ts'
import { describe, type Figure, record } from './figure.ts'
import { deliver, look, memory, start } from './start.ts'

const ROWS: Record<string, () => Promise<Figure[]>> = { start, deliver, look, memory, ndjson, flush, file }

async function main(wanted: string[]): Promise<void> {
  const unknown = wanted.filter((name) => !Object.keys(ROWS).includes(name))
  if (unknown.length > 0) throw new Error(`no row ${unknown.join(', ')}; there are ${Object.keys(ROWS).join(' ')}`)
  const load = loadavg().map((value) => value.toFixed(1)).join(' ')
  console.log(`# node ${process.version}, linux ${release()}, ${cpus().length} x ${cpus()[0]?.model ?? '?'}, load ${load}`)
  const lines: string[] = []
  for (const [name, measure] of Object.entries(ROWS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    try {
      for (const figure of await measure()) {
        console.log(describe(figure))
        lines.push(record(figure))
      }
    } catch (error) {
      console.log(`${name}: could not be run: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      process.exitCode = 1
    }
  }
  for (const line of lines) console.log(line)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.log(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
