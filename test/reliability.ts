// README's reliability table. What proves something notes the counts of its last complete run in reliability.json if it
// is told to by RECORD=1: make test T=model, make model, crash, soak, resume. make reliability prints the table from there.

import { readFileSync, writeFileSync } from 'node:fs'

const FILE = new URL('./reliability.json', import.meta.url)

export interface Proof {
  what: string
  /** Runs, states, kills. */
  count: number
  lost: number
  doubled: number
  changed: number
  command: string
}

/** In the order of the table. */
const NAMES = ['model', 'storms', 'crash KILL', 'crash error', 'step KILL', 'step error', 'soak', 'resume'] as const

export type ProofName = (typeof NAMES)[number]

/** What the storms are, whoever runs them. */
export const STORMS = 'lives in bad weather: simulated disks and network, crashes of both sides, each from its seed'

type Proofs = Partial<Record<ProofName, Proof>>

function load(): Proofs {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Proofs
}

/** Notes it, if that is wanted. */
export function recordProof(name: ProofName, proof: Proof): void {
  if (process.env['RECORD'] !== '1') return
  writeFileSync(FILE, `${JSON.stringify({ ...load(), [name]: proof }, undefined, 2)}\n`)
}

/** The table as it stands in README. */
export function tableOfProofs(): string {
  const proofs = load()
  const rows = NAMES.flatMap((name) => {
    const proof = proofs[name]
    if (proof === undefined) return []
    const { what, count, lost, doubled, changed, command } = proof
    return `| ${what} | ${count.toLocaleString('en')} | ${lost} | ${doubled} | ${changed} | \`${command}\` |\n`
  })
  return `| what | runs or states | lost | doubled | changed | command |\n|---|---|---|---|---|---|\n${rows.join('')}`
}

if (process.argv[1]?.endsWith('reliability.ts') === true) process.stdout.write(tableOfProofs())
