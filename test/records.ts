// Every record that a test sees is held against man/p2p-record.schema.json, with every object closed: a field that the
// schema and p2p-record(5) do not know fails the test that met it. The schema is compiled once for all test files and
// kept below node_modules/.cache, since compiling takes 0.4 s and loading what was compiled 10 ms.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

import type { ErrorObject, ValidateFunction } from 'ajv'

export type Rec = Record<string, unknown>

export interface Schema extends Rec {
  $id: string
  oneOf: { $ref: string }[]
  $defs: Record<string, Definition>
}

export interface Definition extends Rec {
  description: string
  required?: string[]
  properties?: Record<string, Rec>
}

export const SCHEMA = fileURLToPath(new URL('../man/p2p-record.schema.json', import.meta.url))
const CACHE = fileURLToPath(new URL('../node_modules/.cache/p2p-records', import.meta.url))

const require = createRequire(import.meta.url)

export function readSchema(): Schema {
  return JSON.parse(readFileSync(SCHEMA, 'utf8')) as Schema
}

/** The types of records, in the order of the schema. */
export function typesOf(schema: Schema): string[] {
  return schema.oneOf.map(({ $ref }) => $ref.replace('#/$defs/', ''))
}

/** The same schema with every object closed. */
export function closed<T>(schema: T): T {
  if (typeof schema !== 'object' || schema === null) return schema
  if (Array.isArray(schema)) return schema.map(closed) as T
  const copy: Rec = {}
  for (const [key, value] of Object.entries(schema)) copy[key] = CONDITIONS.has(key) ? value : closed(value as unknown)
  if (copy['type'] === 'object' && 'properties' in copy) copy['unevaluatedProperties'] = false
  return copy as T
}

/** What stands below these says nothing of its own about fields. */
const CONDITIONS = new Set(['if', 'then', 'else', 'not'])

let checks: Record<string, ValidateFunction> | undefined

function load(): Record<string, ValidateFunction> {
  const text = readFileSync(SCHEMA)
  const { version } = require('ajv/package.json') as { version: string }
  const made = createHash('sha256').update(version).update(readFileSync(fileURLToPath(import.meta.url))).update(text)
  const file = `${CACHE}/${made.digest('hex').slice(0, 32)}.cjs`
  if (!existsSync(file)) {
    mkdirSync(CACHE, { recursive: true })
    writeFileSync(`${file}.${process.pid}`, compile(JSON.parse(text.toString()) as Schema))
    renameSync(`${file}.${process.pid}`, file)
  }
  return require(file) as Record<string, ValidateFunction>
}

/** The source of a module with one function a type. */
function compile(schema: Schema): string {
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')
  const standalone = require('ajv/dist/standalone') as typeof import('ajv/dist/standalone/index.js')
  const ajv = new Ajv2020({ code: { source: true }, allErrors: true, validateSchema: false, schemas: [closed(schema)] })
  const exports = typesOf(schema).map((type) => [type, `${schema.$id}#/$defs/${type}`])
  return standalone.default(ajv, Object.fromEntries(exports) as Record<string, string>)
}

/** Throws an Error that says what of a record is not as documented. */
export function checkRecord(record: unknown): void {
  checks ??= load()
  const type = String((record as Rec | null)?.['type'])
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined
  const wrong = check === undefined ? [`unknown type '${type}'`] : check(record) ? [] : faults(check)
  if (wrong.length === 0) return
  const shown = JSON.stringify(record)
  throw new Error(
    `not a record of p2p-record(5) and its schema: ${wrong.join('; ')}\n` +
      `${shown.length > 1000 ? `${shown.slice(0, 1000)}...` : shown}`,
  )
}

/** The records in what a command printed; each must be as documented. */
export function records(text: string): Rec[] {
  const found = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Rec)
  found.forEach(checkRecord)
  return found
}

/** Without what only repeats that a condition holds. */
function faults({ errors }: ValidateFunction): string[] {
  return (errors ?? []).filter(({ keyword }) => keyword !== 'if').map(words)
}

/** One fault, with what `message` leaves out. */
function words({ instancePath, message = '', params }: ErrorObject): string {
  const { unevaluatedProperty, allowedValue, allowedValues } = params as Rec
  const more = unevaluatedProperty ?? allowedValue ?? allowedValues
  return `${instancePath} ${message}${more === undefined ? '' : ` (${JSON.stringify(more)})`}`.trimStart()
}

/** Checks the records among complete lines: what begins as an object, or as a record if `others` print objects, too. */
export function checkLines(text: string, others = false): void {
  const lines = text.split('\n')
  lines.pop() // torn, or ''
  for (const line of lines) {
    if (!line.startsWith('{') || (others && !/^\{.*"v":1,"type":/.test(line))) continue
    checkRecord(JSON.parse(line))
  }
}
