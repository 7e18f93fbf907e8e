// The commands as data: verbs, options, texts, examples. Help, the strict check of arguments, the manual pages' test
// and the completions all read these tables; what a table does not list does not exist.

import { flag, value, type Command, type Option } from './table.ts'

const ADDR: Option = {
  name: 'addr',
  kind: 'list',
  value: 'HOST[:PORT]',
  text: 'an address under which peers reach this machine',
}
// An option that two verbs of a command take is one object: that is how the strict check knows it.
const NO_PASSPHRASE = flag('no-passphrase', 'keep the identity in a plain file')
const PASSPHRASE_FILE = value('passphrase-file', 'FILE', 'read the passphrase from the first line of FILE')
const PASSPHRASE_FD = value('passphrase-fd', 'N', 'read the passphrase from file descriptor N')

export const p2pId: Command = {
  name: 'p2p-id',
  text: 'identity and keyring',
  options: [],
  verbs: [
    {
      name: 'init',
      usage: '',
      min: 0,
      max: 0,
      text: 'create the home with a new identity',
      options: [
        value('name', 'NAME', 'the name suggested to others (default: the login name)'),
        value('port', 'PORT', 'the port to listen on for good (default: a free one)'),
        ADDR,
        NO_PASSPHRASE,
        PASSPHRASE_FILE,
        PASSPHRASE_FD,
      ],
    },
    {
      name: 'token',
      usage: '',
      min: 0,
      max: 0,
      text: 'print the own token, to be handed to contacts; --addr makes a new one',
      options: [ADDR, PASSPHRASE_FILE, PASSPHRASE_FD],
    },
    {
      name: 'add',
      usage: 'NAME [TOKEN]',
      min: 1,
      max: 2,
      text: 'add or update a contact by the token given or found in standard input',
      options: [],
    },
    {
      name: 'list',
      usage: '',
      min: 0,
      max: 0,
      text: 'list the contacts',
      options: [
        flag('aliases', 'as an alias file of mutt and neomutt'),
        value('query', 'WORD', "those that WORD fits, in the form of mutt's query_command"),
      ],
    },
    { name: 'show', usage: '[NAME]', min: 0, max: 1, text: 'show a contact, or oneself', options: [] },
    { name: 'rename', usage: 'OLD NEW', min: 2, max: 2, text: 'give a contact another name', options: [] },
    {
      name: 'remove',
      usage: 'NAME',
      min: 1,
      max: 1,
      text: 'forget a contact',
      options: [flag('drop', 'even if messages are waiting for it: drop them')],
    },
    { name: 'block', usage: 'NAME', min: 1, max: 1, text: 'take nothing from a contact any more', options: [] },
    { name: 'unblock', usage: 'NAME', min: 1, max: 1, text: 'undo block', options: [] },
    {
      name: 'verify',
      usage: 'NAME',
      min: 1,
      max: 1,
      text: 'show the 12 words of a contact, or note that they were compared',
      options: [
        flag('ok', 'the words are the same on both sides'),
        value('words', 'WORDS', 'compare with these 12 words'),
      ],
    },
    {
      name: 'passwd',
      usage: '',
      min: 0,
      max: 0,
      text: 'change the passphrase of the identity',
      options: [
        NO_PASSPHRASE,
        PASSPHRASE_FILE,
        PASSPHRASE_FD,
        value('new-passphrase-file', 'FILE', 'read the new passphrase from the first line of FILE'),
        value('new-passphrase-fd', 'N', 'read the new passphrase from file descriptor N'),
      ],
    },
    {
      name: 'export',
      usage: '',
      min: 0,
      max: 0,
      text: 'write identity, keys, contacts, configuration and the seen log to an age file',
      options: [
        value('output', 'FILE', 'into FILE instead of standard output', 'o'),
        flag('queue', 'the waiting messages too'),
        flag('all', 'the waiting messages and all mail too'),
        flag('move', 'retire this home: the identity goes on elsewhere'),
        PASSPHRASE_FILE,
        PASSPHRASE_FD,
      ],
    },
    {
      name: 'import',
      usage: 'FILE',
      min: 1,
      max: 1,
      text: 'make a home of what export wrote (-: standard input)',
      options: [PASSPHRASE_FILE, PASSPHRASE_FD],
    },
    { name: 'unretire', usage: '', min: 0, max: 0, text: 'undo export --move: this home is in use again', options: [] },
    { name: 'doctor', usage: '', min: 0, max: 0, text: 'look for what is wrong and say what to do', options: [] },
    {
      name: 'setup',
      usage: 'neomutt|mutt|aerc|mblaze|notmuch|systemd|launchd|cron|bash|zsh|fish',
      min: 1,
      max: 1,
      text: 'print what another program needs to work with this home; nothing is written',
      options: [],
    },
  ],
  examples: [
    'p2p-id init --name alice --addr 203.0.113.7',
    'p2p-id token > alice.token',
    'p2p-id add bob < bob.token',
    'p2p-id verify bob',
    'p2p-id rename bob robert',
    'p2p-id show bob',
    'p2p-id remove bob',
    'p2p-id block bob',
    'p2p-id unblock bob',
    'p2p-id passwd',
    'p2p-id export -o me.age',
    'p2p-id import me.age',
    'p2p-id unretire',
    'p2p-id doctor',
    'p2p-id setup neomutt > ~/.config/neomutt/p2p.rc',
  ],
}

export const p2pSend: Command = {
  name: 'p2p-send',
  text: 'accept a message, deliver it if the peer is up',
  options: [],
  verbs: [
    {
      name: '',
      usage: '[NAME...]',
      min: 0,
      max: Infinity,
      text: 'accept a message, deliver it if the peer is up',
      options: [
        value('message', 'TEXT', 'the text, instead of standard input', 'm'),
        {
          name: 'attach',
          short: 'a',
          aliases: ['file', 'f'],
          kind: 'list',
          value: 'FILE',
          text: 'send FILE along (-: standard input)',
        },
        value('name', 'NAME', 'the name of a file that comes from standard input'),
        value('subject', 'TEXT', 'a subject', 's'),
        value('reply', 'MSG', 'answer this message; without NAME to its sender', 'r'),
        value('expires', 'DURATION', 'give up after so long (default: never)'),
        value('replace', 'TAG', 'instead of a message of the same TAG that still waits'),
        flag('dry-run', 'check everything, queue nothing, tell what would be sent', 'n'),
        flag('skip-empty', 'an empty input is no message', 'E'),
        flag('lines', 'one message a line of standard input', 'l'),
        flag('ndjson', 'one message an NDJSON record of standard input'),
        flag('queue-only', 'do not try to deliver now'),
        value('wait', 'DURATION', 'try for at most so long (default 5s)', 'w'),
      ],
    },
  ],
  examples: ["echo 'see you at 8?' | p2p-send bob", "p2p-send bob eve -m 'the photos' -a photo.jpg"],
}

export const p2pListen: Command = {
  name: 'p2p-listen',
  text: 'be reachable: receive messages and deliver waiting ones',
  signals: 'clean',
  options: [],
  verbs: [
    {
      name: '',
      usage: '',
      min: 0,
      max: 0,
      text: 'be reachable: receive messages and deliver waiting ones',
      options: [
        flag('once', 'end after the first message'),
        value(
          'exec',
          'COMMAND',
          'run COMMAND for each message, its body on standard input, its record on descriptor 3',
        ),
        flag('no-text', 'leave the text out of message records'),
      ],
    },
  ],
  examples: ['p2p-listen', 'p2p-listen -q --exec \'notify-send "message from $P2P_FROM"\''],
}

export const p2pQueue: Command = {
  name: 'p2p-queue',
  text: 'the outgoing queue',
  options: [],
  verbs: [
    { name: 'list', usage: '', min: 0, max: 0, text: 'list the waiting and the failed messages', options: [] },
    { name: 'show', usage: 'MSG', min: 1, max: 1, text: 'show a message and what happened to it', options: [] },
    {
      name: 'flush',
      usage: '[NAME...]',
      min: 0,
      max: Infinity,
      text: 'try to deliver now, once',
      options: [
        value('wait', 'DURATION', 'for at most so long', 'w'),
        value('linger', 'DURATION', 'stay reachable for so long'),
      ],
    },
    { name: 'hold', usage: 'MSG...', min: 1, max: Infinity, text: 'keep messages back', options: [] },
    { name: 'release', usage: 'MSG...', min: 1, max: Infinity, text: 'undo hold', options: [] },
    {
      name: 'retry',
      usage: 'MSG...',
      min: 1,
      max: Infinity,
      text: 'try soon again, also what had failed',
      options: [],
    },
    {
      name: 'drop',
      usage: '[MSG...]',
      min: 0,
      max: Infinity,
      text: 'delete messages from the queue',
      options: [value('to', 'NAME', 'all that wait for NAME')],
    },
    { name: 'stat', usage: '', min: 0, max: 0, text: 'count by contact and age', options: [] },
  ],
  examples: [
    'p2p-queue flush',
    'p2p-queue list',
    'p2p-queue show 3f9a2c',
    'p2p-queue hold 3f9a2c',
    'p2p-queue release 3f9a2c',
    'p2p-queue retry 3f9a2c',
    'p2p-queue drop --to bob',
  ],
}

export const p2pInbox: Command = {
  name: 'p2p-inbox',
  text: 'read what came',
  options: [],
  verbs: [
    {
      name: 'list',
      usage: '',
      min: 0,
      max: 0,
      text: 'list messages, oldest first',
      options: [
        flag('new', 'only those not yet seen'),
        value('from', 'NAME', 'only those of one contact'),
        value('since', 'TIME', 'only those received since TIME'),
        value('until', 'TIME', 'only those received before TIME'),
        value('after', 'CURSOR', "only those after CURSOR ('start': all)"),
        value('number', 'N', 'at most the last N', 'n'),
        flag('follow', 'go on with what arrives', 'f'),
        flag('id', 'only the ids'),
        flag('path', 'only the paths'),
      ],
    },
    { name: 'show', usage: 'MSG', min: 1, max: 1, text: 'show a message', options: [] },
    { name: 'cat', usage: 'MSG', min: 1, max: 1, text: 'print exactly the bytes of the text', options: [] },
    {
      name: 'save',
      usage: 'MSG',
      min: 1,
      max: 1,
      text: 'save the files of a message',
      options: [value('output', 'DIR', 'into DIR (default: the current directory)', 'o')],
    },
    { name: 'seen', usage: 'MSG...', min: 1, max: Infinity, text: 'mark messages as seen', options: [] },
    { name: 'delete', usage: 'MSG...', min: 1, max: Infinity, text: 'delete messages from the inbox', options: [] },
  ],
  examples: [
    'p2p-inbox list --new',
    'p2p-inbox show @',
    'p2p-inbox cat @2',
    'p2p-inbox save @ -o photos',
    'p2p-inbox seen @',
    'p2p-inbox delete @',
  ],
}

export const p2p: Command = {
  name: 'p2p',
  text: 'how things stand, and the next step; or run a command: p2p send is p2p-send',
  options: [],
  verbs: [
    {
      name: '',
      usage: '[COMMAND [ARGUMENT...]]',
      min: 0,
      max: 0,
      text: 'how things stand, and the next step; or run a command: p2p send is p2p-send, p2p help send its manual',
      options: [],
    },
  ],
  examples: ['p2p', 'p2p help send', 'p2p send bob -m hello'],
}

export const COMMANDS: Command[] = [p2p, p2pId, p2pInbox, p2pListen, p2pQueue, p2pSend]
