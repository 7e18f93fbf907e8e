// make resume, make soak: what takes minutes and proves what the tests of the same names sample. The sizes come from
// the environment; SEED repeats a plan (not what the processes make of it). With KEEP the work stays in that folder,
// MINUTES ends a call early (75), and the same call goes on with it. Prints a JSON line; RECORD=1 notes it for the
// table in README.
//
//   node --import tsx test/soak/run.ts resume      BYTES CUTS ONLY SEED KEEP MINUTES; ONLY='sender receiver': these in turn
//   node --import tsx test/soak/run.ts soak        MESSAGES KILLS STOPS CLOCKS SEED KEEP MINUTES

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { recordProof } from '../reliability.ts'
import { type Cut, CUTS, MIB, Resume, type ResumeReport } from './resume.ts'
import { Soak, type SoakReport } from './soak.ts'

const MORE = 75

function number(name: string, otherwise: number): number {
  const text = process.env[name] ?? ''
  if (text === '') return otherwise
  const match = /^(\d+)([kMG]?)$/.exec(text)
  if (match === null) throw new Error(`${name}=${text} is no number`)
  return Number(match[1]) * 1024 ** ['', 'k', 'M', 'G'].indexOf(match[2] ?? '')
}

const seed = number('SEED', Math.floor(Math.random() * 1e6))
const seconds = number('MINUTES', 1e6) * 60
const keep = process.env['KEEP'] ?? ''
const dir = keep === '' ? mkdtempSync(join(tmpdir(), 's-')) : keep

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`
const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(2)} %`

function tellResume(report: ResumeReport): void {
  const { bytes, cuts, made, twice, hashed, behind, peaks, told } = report
  const kinds = Object.entries(made).map(([kind, count]) => `${kind} ${count}`)
  console.log(`# ${mib(bytes)}, cut ${cuts} times: ${kinds.join(', ')}`)
  console.log(`# received twice ${mib(twice)}, ${share(twice, bytes)}`)
  console.log(`# hashed again ${mib(hashed)}, of ${mib(behind)} that lay behind checkpoints`)
  const over = (peak: number): string => `${mib(peak - peaks.node)}`
  console.log(`# peak memory over a bare node: p2p-send ${over(peaks.accepting)}, sender ${over(peaks.sender)}, receiver ${over(peaks.receiver)}`)
  for (const { who, words, first, last } of told) console.log(`# ${who}: ${words} times told, from ${mib(first)} to ${mib(last)}`)
  console.log(JSON.stringify({ resume: report }))
  const what = `${mib(bytes)} cut ${cuts} times: ${share(twice, bytes)} of its bytes crossed twice`
  const command = `make resume BYTES=${bytes / MIB}M CUTS=${cuts}`
  recordProof('resume', { what, count: cuts, lost: 0, doubled: 0, changed: 0, command })
}

async function resume(): Promise<'done' | 'more'> {
  const only = (process.env['ONLY'] ?? '').split(/\W+/).filter((word) => word !== '')
  for (const kind of only) if (!(CUTS as readonly string[]).includes(kind)) throw new Error(`ONLY=${kind}: one of ${CUTS.join(' ')}`)
  const kinds = only.length === 0 ? {} : { kinds: only as Cut[] }
  const work = await Resume.open(dir, { bytes: number('BYTES', 4096 * MIB), cuts: number('CUTS', 100), seed, ...kinds })
  try {
    const end = await work.run(seconds)
    if (end === 'done') tellResume(work.report())
    return end
  } finally {
    await work.close()
  }
}

function tellSoak(report: SoakReport): void {
  const { messages, bytes, deleted, untold, killed, stops, clocks, lost, doubled, changed, python, seconds } = report
  const kills = Object.values(killed).reduce((sum, count) => sum + count, 0)
  console.log(`# ${messages} messages arrived, of ${untold} of them nobody was told that they were queued`)
  console.log(`# ${deleted} were read and deleted meanwhile; the others have ${mib(bytes)}, Python's mailbox read ${python} of them`)
  console.log(`# ${stops} processes were stopped for a while${clocks ? ', every clock jumped by years' : ''}`)
  console.log(`# ${kills} kills: ${Object.entries(killed).map(([what, count]) => `${what} ${count}`).join(', ')}; ${seconds} s`)
  console.log(JSON.stringify({ soak: report }))
  const what = `real processes of both sides killed ${kills} times while ${messages} messages move`
  const command = `make soak KILLS=${report.kills} MESSAGES=${report.messages}`
  recordProof('soak', { what, count: kills, lost, doubled, changed, command })
}

async function soak(): Promise<'done' | 'more'> {
  const [messages, kills, stops] = [number('MESSAGES', 10_000), number('KILLS', 1000), number('STOPS', 200)]
  const work = await Soak.open(dir, { messages, kills, stops, clocks: number('CLOCKS', 0) > 0, seed })
  try {
    const end = await work.run(seconds)
    if (end === 'more') return end
    tellSoak(end)
    return 'done'
  } finally {
    await work.close()
  }
}

const WORKS: Record<string, () => Promise<'done' | 'more'>> = { resume, soak }

async function main([what = '']: string[]): Promise<void> {
  const work = WORKS[what]
  if (work === undefined) throw new Error(`one of ${Object.keys(WORKS).join(' ')}`)
  console.log(`# seed ${seed}, in ${dir}`)
  const end = await work()
  if (end === 'more') {
    if (keep === '') throw new Error('time is over; KEEP=DIR would keep the work')
    console.log(`# there is more to do: make ${what} KEEP=${dir} goes on`)
    process.exitCode = MORE
  }
  if (end === 'done' || keep === '') rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.log(error)
  console.log(`# failed: seed ${seed}; everything is still in ${dir}`)
  process.exitCode = 1
})
