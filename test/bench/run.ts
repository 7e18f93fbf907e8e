// make bench: what the commands cost, beside the programs that do the nearest thing, on the same machine in the same
// minutes. Prints min / median / max of both sides, their ratio and whether it holds, then one JSON line per figure.
// Exits 0 whatever the figures say, 1 if a row could not be run.
//
//   node --import tsx test/bench/run.ts [--quick] [ROW...]
//
// Rows: start deliver latency look memory ndjson flush file pipe hole peak inbox queued dead chat online growth. --quick:
// less of each, in under three minutes. A whole run leaves its lines in bench/results/figures.ndjson, growth its plots there.

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'

import { file, flush, ndjson } from './bulk.ts'
import { chat } from './chat.ts'
import { describe, type Figure, record, Unmeasured } from './figure.ts'
import { growth, RESULTS } from './growth.ts'
import { hole } from './hole.ts'
import { inbox } from './inbox.ts'
import { latency } from './latency.ts'
import { machine } from './machine.ts'
import { online } from './online.ts'
import { quick } from './scale.ts'
import { dead, queued } from './spool.ts'
import { deliver, look, memory, start } from './start.ts'
import { peak, pipe } from './stream.ts'

const ROWS: Record<string, () => Promise<Figure[]>> = {
  start, deliver, latency, look, memory, ndjson, flush, file, pipe, hole, peak, inbox, queued, dead, chat, online, growth,
}

/** Not with --quick, unless named: they have no short form that says anything. */
const LONG = new Set(['growth', 'online', 'hole'])

/** Figures that are wanted and that nothing here measures. */
const UNMEASURED: Record<string, string> = {
  hellos: 'forged hellos beside a contact\'s message: make flood does it',
}

const load = (): string => loadavg().map((value) => value.toFixed(1)).join(' ')

async function main(wanted: string[]): Promise<void> {
  const unknown = wanted.filter((name) => !Object.keys(ROWS).includes(name))
  if (unknown.length > 0) throw new Error(`no row ${unknown.join(', ')}; there are ${Object.keys(ROWS).join(' ')}`)
  console.log(`# node ${process.version}, linux ${release()}, ${cpus().length} x ${cpus()[0]?.model ?? '?'}, load ${load()}`)
  const lines: string[] = [JSON.stringify(machine())]
  for (const [name, measure] of Object.entries(ROWS)) {
    if (wanted.length > 0 ? !wanted.includes(name) : quick && LONG.has(name)) continue
    const since = performance.now()
    try {
      for (const figure of await measure()) {
        console.log(describe(figure))
        lines.push(record(figure))
      }
    } catch (error) {
      lines.push(JSON.stringify({ row: name, unmeasured: error instanceof Error ? error.message : String(error) }))
      if (error instanceof Unmeasured) {
        console.log(`${name}: not measured: ${error.message}`)
        continue
      }
      console.log(`${name}: could not be run: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      process.exitCode = 1
    }
    console.log(`# ${name}: ${((performance.now() - since) / 1000).toFixed(0)} s`)
  }
  for (const [row, why] of Object.entries(UNMEASURED)) {
    if (wanted.length > 0) continue
    console.log(`${row}: not measured: ${why}`)
    lines.push(JSON.stringify({ row, unmeasured: why }))
  }
  console.log(`# load at the end ${load()}`)
  for (const line of lines) console.log(line)
  if (wanted.length > 0 || quick) return
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(`${RESULTS}/figures.ndjson`, lines.join('\n') + '\n')
}

main(process.argv.slice(2).filter((word) => word !== '--quick')).catch((error: unknown) => {
  console.log(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
