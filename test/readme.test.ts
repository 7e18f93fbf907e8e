// README's ```sh blocks are run as they stand, each by its own shell in an empty place with the built commands in
// $PATH: what is shown there works.

import { execa } from 'execa'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { checkLines } from './records.ts'
import { tableOfProofs } from './reliability.ts'

const ROOT = process.cwd()

/** The shell blocks of a Markdown text, with the line each begins at. */
function shellBlocks(text: string): { line: number; script: string }[] {
  const found: { line: number; script: string }[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    if (lines[i] !== '```sh') continue
    const end = lines.indexOf('```', i)
    found.push({ line: i + 2, script: lines.slice(i + 1, end).join('\n') + '\n' })
    i = end
  }
  return found
}

const blocks = shellBlocks(await readFile(`${ROOT}/README.md`, 'utf8'))

test('README shows shell blocks', () => {
  assert.ok(blocks.length > 0)
})

test('its reliability table is what make reliability prints', async () => {
  assert.ok((await readFile(`${ROOT}/README.md`, 'utf8')).includes(`\n\n${tableOfProofs()}\n`))
})

for (const { line, script } of blocks) {
  test(`the block at line ${line} of README works`, async () => {
    const place = await mkdtemp(`${tmpdir()}/p2p-readme-`)
    try {
      await mkdir(`${place}/bin`)
      for (const name of await readdir(`${ROOT}/dist`)) {
        if (name.endsWith('.cjs')) await symlink(`${ROOT}/dist/${name}`, `${place}/bin/${name.slice(0, -4)}`)
      }
      const env = { HOME: place, PATH: `${place}/bin:${process.env['PATH']}`, TMPDIR: place, LC_ALL: 'C.UTF-8' }
      // The last shell lines end what the block started in the background, whatever came of it.
      const wrapped = `trap 'kill $(jobs -p) 2>/dev/null || :; wait' EXIT\n${script}`
      const { exitCode, all } = await execa('bash', ['-euo', 'pipefail', '-c', wrapped], {
        cwd: place,
        env,
        extendEnv: false,
        all: true,
        reject: false,
        stdin: 'ignore',
        timeout: 120_000,
      })
      assert.is(exitCode, 0, all)
      checkLines(`${all}\n`, true)
    } finally {
      await rm(place, { recursive: true, force: true })
    }
  })
}

test.run()
