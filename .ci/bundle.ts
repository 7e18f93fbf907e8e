// Makes the program of one command, in two files: what every call of it loads (code/NAME.cjs), and what it comes to use
// by import() only (code/NAME.more.cjs), which costs nothing until then; what must not wait for the rest of that has a
// file of its own (OWN). Each module of this house is in one of them, so that nothing exists twice in a process. All
// begin with a line by which start.cjs knows what V8 has kept of them.
//
//   node --import tsx .ci/bundle.ts NAME VERSION FILE=PACKAGE...      packages that lie beside the programs as FILE.cjs

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild'

const [name = '', version = '', ...packages] = process.argv.slice(2)
const apart = packages.map((each) => each.split('=') as [string, string])

const COMMON = { bundle: true, platform: 'node', target: 'node20', logLevel: 'warning', write: false } satisfies BuildOptions
/** A process that only starts pays for each page of its text. Names stay, and lines of a length, for traces of the stack. */
const SHORT = { minifyWhitespace: true, lineLimit: 120 } satisfies BuildOptions
const ENTRY = `${name}.js`
const MORE = `${name}.more.cjs`
/**
 * import() of these leads to files of their own, by name, with what none before has: the screen of p2p-chat stands before
 * the rest is loaded, who hands a message to the listener needs nothing of what a call takes, and a call nothing else.
 */
const OWN = new Map([
  ['lib/chat/screen.ts', `${name}.screen.cjs`],
  ['lib/delivery/deliver.ts', `${name}.deliver.cjs`],
  ['lib/delivery/ahead.ts', `${name}.call.cjs`],
  ['lib/delivery/calls.ts', `${name}.call.cjs`],
])
/** What the first file hands over to the others, in the words of start.cjs. */
const SHARED = 'p2p:shared'

/** The terminal library asks where it lies, to look for machine code beside it; there is none. Nor is there Markdown. */
const CHAT = {
  define: { 'import.meta.url': '"file:///p2p/code.js"' },
  alias: { marked: './.ci/nomarkdown.cjs', 'marked-cjk-friendly': './.ci/nomarkdown.cjs' },
}

/** Its tables of Unicode give way to what needs them only for some texts: what stands in its files, and how often. */
const TERMINAL = fileURLToPath(new URL('terminal.ts', import.meta.url))
const CLUSTER = 'function clusterWidth(segment) {\n'
const INSTEAD: Record<string, [old: string, fresh: string, times: number][]> = {
  'utils.js': [
    ['new Intl.Segmenter(', 'new Segmenter(', 2],
    ['/^\\p{RGI_Emoji}$/v', 'new Emoji()', 1],
    ['= new RegExp(', '= new Pattern(', 3],
    [CLUSTER, `${CLUSTER}if (isAlone(segment)) return couldBeEmoji(segment) && rgiEmojiRegex.test(segment) ? 2 : eastAsianWidth(segment.charCodeAt(0));`, 1],
  ],
  'components/editor.js': [
    ['unquotedAutocompleteSuffixRegex = new RegExp(', 'unquotedAutocompleteSuffixRegex = new Pattern(', 1],
    ['return new RegExp(`${autocompleteTokenStartSource}', 'return new Pattern(`${autocompleteTokenStartSource}', 2],
  ],
  'autocomplete.js': [['tokenStartRegex = new RegExp(', 'tokenStartRegex = new Pattern(', 1]],
}
const terminal: Plugin = {
  name: 'terminal',
  setup(esbuild) {
    for (const [file, changes] of Object.entries(INSTEAD)) {
      esbuild.onLoad({ filter: new RegExp(`/pi-tui/dist/${file.replace('.', '\\.')}$`) }, ({ path }) => {
        let text = readFileSync(path, 'utf8')
        for (const [old, fresh, times] of changes) {
          const parts = text.split(old)
          if (parts.length !== times + 1) throw new Error(`${path}: ${old} stands there ${parts.length - 1} times`)
          text = parts.join(fresh)
        }
        return { contents: `import { Emoji, isAlone, Pattern, Segmenter } from ${JSON.stringify(TERMINAL)}\n${text}` }
      })
    }
  },
}

/** What esbuild cuts a program into where import() stands: modules that come to be needed together. */
interface Piece {
  text: string
  /** Pieces that must run before it. */
  needs: string[]
  /** The module that import() wants when it leads here. */
  door: string | undefined
}

/** Each program has the table of its own command: that making the others has no effect is more than esbuild can see. */
const tables: Plugin = {
  name: 'tables',
  setup(esbuild) {
    esbuild.onLoad({ filter: /\/lib\/edge\/commands\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8').replace(/(?<=^ *| = |\[|, |\.\.\.)(?=(?:flag|value)\((?:'|$))/gm, '/* @__PURE__ */ ')
      return { contents, loader: 'ts' }
    })
  },
}

async function cut(): Promise<{ pieces: Map<string, Piece>; inputs: Metafile['inputs'] }> {
  const { outputFiles, metafile } = await build({
    ...COMMON,
    entryPoints: [`bin/${name}.ts`],
    format: 'esm',
    splitting: true,
    outdir: '.',
    metafile: true,
    plugins: [tables, terminal],
    define: { VERSION: JSON.stringify(version), ...CHAT.define },
    alias: { ...CHAT.alias, ...Object.fromEntries(apart.map(([file, whole]) => [whole, `./${file}.cjs`])) },
    external: ['udx-native', ...apart.map(([file]) => `./${file}.cjs`)],
  })
  const texts = new Map(outputFiles.map((file) => [basename(file.path), file.text]))
  const pieces = new Map<string, Piece>()
  for (const [path, { imports, entryPoint }] of Object.entries(metafile.outputs)) {
    const needs = imports.filter(({ kind, external }) => kind === 'import-statement' && external !== true)
    // Which file a line is from: esbuild keeps such comments over the second round if they look like a licence.
    const text = (texts.get(basename(path)) ?? '').replace(/^\/\/ (?=[^\n]*\.[cm]?[jt]s$)/gm, '//! ')
    pieces.set(basename(path), { text, needs: needs.map((each) => basename(each.path)), door: entryPoint })
  }
  return { pieces, inputs: metafile.inputs }
}

/** The pieces that run where this one does. */
function reached(from: string, pieces: Map<string, Piece>): Set<string> {
  const all = new Set<string>()
  const visit = (piece: string): void => {
    if (all.has(piece)) return
    all.add(piece)
    pieces.get(piece)?.needs.forEach(visit)
  }
  visit(from)
  return all
}

/** What `piece` exports, under a name that no other piece has. */
const unique = (piece: string, symbol: string): string => `${piece.replace(/\W/g, '_')}$${symbol}`

/** By piece of the first file, what the pieces of the other one import of it: as esbuild writes imports. */
function asked(pieces: Map<string, Piece>, first: Set<string>): Map<string, string[]> {
  const found = new Map<string, Set<string>>()
  for (const [piece, { text }] of pieces) {
    if (first.has(piece)) continue
    for (const [, list = '', from = ''] of text.matchAll(/^import \{([^}]*)\} from "\.\/([^"]+)";$/gm)) {
      if (!first.has(from)) continue
      const symbols = list.split(',').map((each) => each.trim().replace(/ as .*/, ''))
      found.set(from, new Set([...(found.get(from) ?? []), ...symbols.filter((symbol) => symbol !== '')]))
    }
  }
  return new Map([...found].map(([piece, symbols]) => [piece, [...symbols]]))
}

/** As start.cjs reads it. esbuild writes so itself, but for patterns. */
const inAscii = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Joins pieces into the text of one file: `others` says what stands for one that is in the other file. */
async function join(start: string, pieces: Map<string, Piece>, own: (piece: string) => boolean, others: (piece: string) => string): Promise<string> {
  const plugin: Plugin = {
    name: 'pieces',
    setup(esbuild) {
      esbuild.onResolve({ filter: /.*/ }, ({ path, kind }) => {
        if (kind === 'entry-point') return { path, namespace: 'start' }
        if (pieces.has(basename(path))) return { path: basename(path), namespace: 'piece' }
        return { path, external: true }
      })
      esbuild.onLoad({ filter: /.*/, namespace: 'start' }, () => ({ contents: start }))
      esbuild.onLoad({ filter: /.*/, namespace: 'piece' }, ({ path }) => {
        return { contents: own(path) ? (pieces.get(path)?.text ?? '') : others(path) }
      })
    },
  }
  const supported = { 'dynamic-import': false }
  const { outputFiles } = await build({ ...COMMON, ...SHORT, format: 'cjs', supported, legalComments: 'inline', entryPoints: ['start'], plugins: [plugin], outdir: '.' })
  const body = (outputFiles[0]?.text ?? '').replace(/\/\/! (?=\S+\.[cm]?[jt]s$)/gm, '\n// ').replace(/[^\0-\x7f]/g, inAscii)
  const text = `(function (exports, require, module, __filename) {\n${body}})\n`
  const sum = createHash('sha256').update(text).digest('hex')
  return `// ${sum}: remove the *.cache beside this file before you change this\n${text}` // of LINE in start.cjs
}

const { pieces, inputs } = await cut()
const first = reached(ENTRY, pieces)
const wanted = asked(pieces, first)

/** The file that each piece is in, but for the first one. */
const fileOf = new Map<string, string>()
for (const [module, file] of OWN) {
  const doors = [...pieces].filter(([, { door }]) => door === module).map(([piece]) => piece)
  for (const each of doors.flatMap((door) => [...reached(door, pieces)])) if (!first.has(each) && !fileOf.has(each)) fileOf.set(each, file)
}
for (const piece of pieces.keys()) if (!first.has(piece) && !fileOf.has(piece)) fileOf.set(piece, MORE)

// As values: no module of this house exports what changes (test/house), and a getter that is called once costs 10 us.
const values = [...wanted].flatMap(([piece, symbols]) => symbols.map((symbol) => unique(piece, symbol)))
const start = [
  `import './${ENTRY}'`,
  ...[...wanted].map(([piece, symbols]) => {
    return `import { ${symbols.map((symbol) => `${symbol} as ${unique(piece, symbol)}`).join(', ')} } from './${piece}'`
  }),
  `export const shared = () => ({ ${values.join(', ')} })`,
].join('\n')
const elsewhere = (piece: string): string => `module.exports = require('./${fileOf.get(piece)}')[${JSON.stringify(piece)}]()`
const texts = new Map([[`${name}.cjs`, await join(start, pieces, (piece) => first.has(piece), elsewhere)]])
for (const file of new Set([MORE, ...fileOf.values()])) {
  const own = [...fileOf].filter(([, each]) => each === file).map(([piece]) => piece)
  const all = `module.exports = { ${own.map((piece) => `${JSON.stringify(piece)}: () => require('./${piece}')`).join(',\n')} }`
  const others = (piece: string): string => {
    if (!first.has(piece)) return elsewhere(piece)
    return `export { ${(wanted.get(piece) ?? []).map((symbol) => `${unique(piece, symbol)} as ${symbol}`).join(', ')} } from '${SHARED}'`
  }
  texts.set(file, await join(all, pieces, (piece) => own.includes(piece), others))
}

mkdirSync('dist/code', { recursive: true })
for (const [file, text] of texts) writeFileSync(`dist/code/${file}`, text)
writeFileSync(`dist/${name}.meta.json`, JSON.stringify({ inputs }))
