// make dist/THIRD-PARTY: which packages the bundles contain, by what esbuild's metafiles say went into them, and the
// licence of each as it came with it. A package without a licence text ends the build: it could not be handed on.

import { readdirSync, readFileSync } from 'node:fs'

interface Metafile {
  inputs: Record<string, unknown>
}

/** The folder of the package that a file belongs to, e.g. node_modules/@noble/curves. */
const FOLDER = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/

const folders = new Set<string>()
for (const path of process.argv.slice(2)) {
  for (const input of Object.keys((JSON.parse(readFileSync(path, 'utf8')) as Metafile).inputs)) {
    const folder = FOLDER.exec(input)?.[0]
    if (folder !== undefined) folders.add(folder)
  }
}

console.log('The programs contain these packages, each under its licence.')
for (const folder of [...folders].sort()) {
  const { name, version, license, author } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as Record<string, string>
  const file = readdirSync(folder).find((entry) => /^licen[cs]e(?:\.(?:md|txt))?$/i.test(entry))
  const text = file === undefined ? standardText(folder, license, author) : readFileSync(`${folder}/${file}`, 'utf8').replaceAll('\r\n', '\n').trim()
  console.log(`\n${'-'.repeat(80)}\n${name} ${version} (${license})\n\n${text}`)
}

/** Of a package that names its licence and author and has no file: our own LICENSE has the same words. */
function standardText(folder: string, license: string | undefined, author: unknown): string {
  if (license !== 'MIT' || typeof author !== 'string') throw new Error(`${folder} has no licence text`)
  return readFileSync('LICENSE', 'utf8').replace(/^Copyright .*$/m, `Copyright (c) ${author}`).trim()
}
