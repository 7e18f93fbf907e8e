# Completions of p2p's commands for bash 4.4 or newer, with or without the package bash-completion.
# Made by `make completions` from the tables of the commands (lib/edge/commands.ts) and completions/parts/: not edited.
# It reads files of the home and writes, locks and runs nothing but ls and awk. What a peer wrote is shown in lists of
# several candidates and never becomes part of the command line.
# shellcheck shell=bash

p2p_commands=(p2p p2p-chat p2p-id p2p-inbox p2p-listen p2p-pipe p2p-punch p2p-queue p2p-send p2p-sendmail)

# What a COMMAND and, behind it, a VERB takes: `--spelling/-s=OFFER`, a + in front of what may be repeated.
_p2p_table() {
  p2p_verbs=() p2p_all=() p2p_options=() p2p_arguments=()
  case $1 in
    p2p)
      p2p_verbs=(chat id inbox listen pipe punch queue send sendmail help)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=("${p2p_options[@]}")
      ;;
    p2p-chat)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=("${p2p_options[@]}" --plain)
      ;;
    p2p-id)
      p2p_verbs=(
        init token invite add list show rename remove block unblock verify requests accept refuse rotate revoke passwd
        export import unretire doctor setup
      )
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=(
        "${p2p_options[@]}" --name= --port= +--addr= --no-passphrase --passphrase-file=file --passphrase-fd= --qr
        --qr-file=file --successor-of=directory --old-passphrase-file=file --old-passphrase-fd= --expires=duration
        --withdraw --aliases --query= --drop --ok --words= --compromised --new-passphrase-file=file --new-passphrase-fd=
        --output/-o=file --queue --all --move --install --remove
      )
      ;;
    p2p-inbox)
      p2p_verbs=(list show thread cat save seen delete export)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=(
        "${p2p_options[@]}" --new --from=anyone --sent --to=anyone
        '+--type=:text|file|reaction|edit|recall|receipt|notice|foreign|image/*' --thread=received --grep= --since=time
        --until=time '--after=:start' --number/-n= --follow/-f --id --path --output/-o=directory --unpack
        '--format=:ndjson|mbox|text' --output/-o=file
      )
      ;;
    p2p-listen)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=("${p2p_options[@]}" --once --exec=command --no-text --stun --progress)
      ;;
    p2p-pipe)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=("${p2p_options[@]}" --timeout=duration)
      ;;
    p2p-punch)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=("${p2p_options[@]}" --timeout=duration --explain --keep --status --slot --map +--stun= --birthday)
      ;;
    p2p-queue)
      p2p_verbs=(list show flush hold release retry drop stat export import)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=("${p2p_options[@]}" --wait/-w=duration --linger=duration --progress --to=contact --output/-o=file)
      ;;
    p2p-send)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=(
        "${p2p_options[@]}" --message/-m= +--attach/--file/-a/-f=file --name= --subject/-s= --reply/-r=received --react=
        --edit= --recall= --expires=duration --replace= --dry-run/-n --skip-empty/-E --lines/-l --ndjson --queue-only
        --wait/-w=duration --progress
      )
      ;;
    p2p-sendmail)
      p2p_options=(--home=directory --json --text --quiet/-q --verbose/-v --help/-h --version/-V)
      p2p_all=(
        "${p2p_options[@]}" --read-recipients/-t --ignore-dots/-i --set/-o= --errors/-e= --sender/-f/-r= --full-name/-F=
        --body/-B= --notify/-N= --return/-R= '--mode/-b=:m' --submission/-U --me-too/-m
      )
      ;;
  esac
  case "$1 $2" in
    'p2p help')
      p2p_arguments=(':chat|id|inbox|listen|pipe|punch|queue|send|sendmail')
      ;;
    'p2p-chat ')
      p2p_options+=(--plain)
      p2p_arguments=('recipient')
      ;;
    'p2p-id init')
      p2p_options+=(--name= --port= +--addr= --no-passphrase --passphrase-file=file --passphrase-fd=)
      ;;
    'p2p-id token')
      p2p_options+=(
        +--addr= --qr --qr-file=file --successor-of=directory --passphrase-file=file --passphrase-fd=
        --old-passphrase-file=file --old-passphrase-fd=
      )
      ;;
    'p2p-id invite')
      p2p_options+=(--expires=duration --qr --qr-file=file --withdraw --passphrase-file=file --passphrase-fd=)
      p2p_arguments=('')
      ;;
    'p2p-id add')
      p2p_arguments=('contact' '')
      ;;
    'p2p-id list')
      p2p_options+=(--aliases --query=)
      ;;
    'p2p-id show')
      p2p_arguments=('anyone')
      ;;
    'p2p-id rename')
      p2p_arguments=('contact' '')
      ;;
    'p2p-id remove')
      p2p_options+=(--drop)
      p2p_arguments=('contact')
      ;;
    'p2p-id block')
      p2p_arguments=('welcome')
      ;;
    'p2p-id unblock')
      p2p_arguments=('blocked')
      ;;
    'p2p-id verify')
      p2p_options+=(--ok --words=)
      p2p_arguments=('contact')
      ;;
    'p2p-id accept')
      p2p_arguments=('request' 'contact')
      ;;
    'p2p-id refuse')
      p2p_arguments=('request...')
      ;;
    'p2p-id rotate')
      p2p_options+=(--compromised --passphrase-file=file --passphrase-fd=)
      ;;
    'p2p-id revoke')
      p2p_options+=(--passphrase-file=file --passphrase-fd=)
      ;;
    'p2p-id passwd')
      p2p_options+=(
        --no-passphrase --passphrase-file=file --passphrase-fd= --new-passphrase-file=file --new-passphrase-fd=
      )
      ;;
    'p2p-id export')
      p2p_options+=(--output/-o=file --queue --all --move --passphrase-file=file --passphrase-fd=)
      ;;
    'p2p-id import')
      p2p_options+=(--passphrase-file=file --passphrase-fd=)
      p2p_arguments=('file')
      ;;
    'p2p-id setup')
      p2p_options+=(--install --remove)
      p2p_arguments=(':neomutt|mutt|aerc|mblaze|notmuch|systemd|launchd|cron|bash|zsh|fish')
      ;;
    'p2p-inbox list')
      p2p_options+=(
        --new --from=anyone --sent --to=anyone '+--type=:text|file|reaction|edit|recall|receipt|notice|foreign|image/*'
        --thread=received --grep= --since=time --until=time '--after=:start' --number/-n= --follow/-f --id --path
      )
      ;;
    'p2p-inbox show')
      p2p_arguments=('received')
      ;;
    'p2p-inbox thread')
      p2p_arguments=('received')
      ;;
    'p2p-inbox cat')
      p2p_arguments=('received')
      ;;
    'p2p-inbox save')
      p2p_options+=(--output/-o=directory --unpack)
      p2p_arguments=('received')
      ;;
    'p2p-inbox seen')
      p2p_arguments=('received...')
      ;;
    'p2p-inbox delete')
      p2p_arguments=('received...')
      ;;
    'p2p-inbox export')
      p2p_options+=('--format=:ndjson|mbox|text' --output/-o=file)
      p2p_arguments=('anyone')
      ;;
    'p2p-listen ')
      p2p_options+=(--once --exec=command --no-text --stun --progress)
      ;;
    'p2p-pipe ')
      p2p_options+=(--timeout=duration)
      p2p_arguments=('welcome')
      ;;
    'p2p-punch ')
      p2p_options+=(--timeout=duration --explain --keep --status --slot --map +--stun= --birthday)
      p2p_arguments=('welcome')
      ;;
    'p2p-queue show')
      p2p_arguments=('new+hold+failed')
      ;;
    'p2p-queue flush')
      p2p_options+=(--wait/-w=duration --linger=duration --progress)
      p2p_arguments=('contact...')
      ;;
    'p2p-queue hold')
      p2p_arguments=('new...')
      ;;
    'p2p-queue release')
      p2p_arguments=('hold...')
      ;;
    'p2p-queue retry')
      p2p_arguments=('new+failed...')
      ;;
    'p2p-queue drop')
      p2p_options+=(--to=contact)
      p2p_arguments=('new+hold+failed...')
      ;;
    'p2p-queue export')
      p2p_options+=(--output/-o=file)
      p2p_arguments=('welcome')
      ;;
    'p2p-queue import')
      p2p_arguments=('file')
      ;;
    'p2p-send ')
      p2p_options+=(
        --message/-m= +--attach/--file/-a/-f=file --name= --subject/-s= --reply/-r=received --react= --edit= --recall=
        --expires=duration --replace= --dry-run/-n --skip-empty/-E --lines/-l --ndjson --queue-only --wait/-w=duration
        --progress
      )
      p2p_arguments=('recipient...')
      ;;
    'p2p-sendmail ')
      p2p_options+=(
        --read-recipients/-t --ignore-dots/-i --set/-o= --errors/-e= --sender/-f/-r= --full-name/-F= --body/-B=
        --notify/-N= --return/-R= '--mode/-b=:m' --submission/-U --me-too/-m
      )
      p2p_arguments=('recipient...')
      ;;
  esac
}

# shellcheck disable=SC2016 # the $ are of awk
_p2p_awk='
# Reads a home for the completions and prints `word TAB description` lines. Run by awk in the home, in the C locale:
#   awk THIS KIND TYPED [NAME]
# KIND: contact recipient anyone welcome blocked (NAMEs), request (KEYs of strangers), received (the inbox; @N counts within NAME if it is given),
# or states of the queue joined by +. Files are only read; what is damaged is passed over. Words are NAMEs, hexadecimal
# digits and @N; everything a peer wrote is in descriptions, decoded, cut, and without a control or bidi character.
# Behind it comes text.awk. Both stand in single quotes in three shells: no single quote, no two backslashes in a row.
BEGIN {
  kind = ARGV[1]
  typed = ARGV[2]
  LATEST = 30 # messages opened
  WIDTH = 48 # characters of a subject
  LINES = 200 # of a header
  for (i = 1; i < 256; i++) {
    chr[i] = sprintf("%c", i)
    ord[chr[i]] = i
  }
  BAD = chr[239] chr[191] chr[189] # U+FFFD
  DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  HEX = "0123456789abcdef"
  if (kind == "received") received()
  else if (kind ~ /new|hold|failed/) queued()
  else if (kind == "request") requests()
  else contacts()
  exit
}

function contacts(   path, part, n, key, note, list, i) {
  while (("ls contacts 2>/dev/null" | getline path) > 0) {
    n = split(path, part, "[.]")
    if (n == 2 && part[2] == "revoked") revoked[part[1]] = 1
    if (n == 2 && part[2] == "json" && isKey(part[1])) list[++i] = part[1]
  }
  n = i
  if (kind == "recipient" || kind == "anyone") print "me\tyourself"
  for (i = 1; i <= n; i++) {
    key = list[i]
    contact(key)
    if (nameOf[key] == "") continue
    if (kind == "blocked" && !blocked[key]) continue
    if ((kind == "recipient" || kind == "welcome") && blocked[key]) continue
    if (kind == "recipient" && (key in revoked)) continue
    note = (key in revoked) ? "revoked" : blocked[key] ? "blocked" : verified[key] ? "verified" : "not verified"
    print nameOf[key] "\t" note
  }
}

function requests(   path) {
  while (("ls requests 2>/dev/null" | getline path) > 0) {
    if (sub(/[.]json$/, "", path) && isKey(path)) print path "\ta stranger"
  }
}

function received(   id, i, at, to, key, told, words) {
  latest("inbox/new inbox/cur", 32)
  if (ARGC > 3) to = tolower(keyOf(ARGV[3]))
  for (i = 1; i <= kept; i++) {
    open(paths[i])
    id = messageId()
    if (ids[i] != "" && index(id, ids[i]) != 1) id = ids[i]
    key = senderKey()
    told = tell(sender(key))
    if (key != "" && (ARGC < 4 || tolower(key) == to)) {
      at++
      if (typed ~ /^@/ ? at < 10 : at == 1 && typed == "") print "@" (at > 1 ? at : "") "\t" told
    }
    if (id != "" && typed !~ /^@/) words[i] = short(id) "\t" told
  }
  for (i = 1; i <= kept; i++) if (i in words) print words[i]
}

function queued(   part, n, i, told, state, folders) {
  n = split(kind, part, "[+]")
  for (i = 1; i <= n; i++) if (part[i] ~ /^(new|hold|failed)$/) folders = folders " queue/*/" part[i]
  latest("/dev/null" folders, 64)
  for (i = 1; i <= kept; i++) {
    split(paths[i], part, "/")
    n = times[i] "." substr(ids[i], 1, 32) ".p2p"
    if (!open("sent/cur/" n ":2,FS") && !open("sent/cur/" n ":2,S")) open(findSent(n))
    contact(part[2])
    told = nameOf[part[2]] == "" ? "somebody" : nameOf[part[2]]
    state = part[3] == "hold" ? " (held)" : part[3] == "failed" ? " (failed)" : ""
    print short(ids[i]) "\t" tell(told state)
  }
}

# Gathers times, paths and ids of the latest messages in some folders whose id can begin with what was typed. Names
# begin with a time: each folder comes latest first, and the rest of it need not be looked at.
function latest(folders, digits,   command, line, folder, over, base, part, n, start) {
  start = typed ~ /^@/ ? "" : substr(typed, 1, digits)
  command = "ls -1r " folders " 2>/dev/null"
  while ((command | getline line) > 0) {
    if (line ~ /\/.*:$/) {
      folder = substr(line, 1, length(line) - 1)
      over = 0
    }
    if (over || line !~ /^[0-9]/) continue
    if (start != "" && !index(line, "." start) && (digits == 64 || index(line, ".p2p"))) continue
    base = line
    sub(/:2,.*/, "", base)
    n = split(base, part, "[.]")
    if (part[1] ~ /[^0-9]/) continue
    if (n == (digits == 32 ? 3 : 2) && isHex(part[2], digits)) {
      if (start == "" || index(part[2], start) == 1) over = !keep(folder "/" line, part[1], part[2]) && start == ""
    } else if (digits == 32 && length(part[1]) < 12) keep(folder "/" line, part[1] "000000", "")
  }
  close(command)
}

# Where a mail program left the copy of a message whose flags it has changed.
function findSent(name,   line, folder, base) {
  if (!listed++) {
    while (("ls -1 sent/new sent/cur 2>/dev/null" | getline line) > 0) {
      if (line ~ /^sent.*:$/) folder = substr(line, 1, length(line) - 1)
      base = line
      sub(/:2,.*/, "", base)
      sentAt[base] = folder "/" line
    }
  }
  return (name in sentAt) ? sentAt[name] : ""
}

# Puts a message among the latest; false if it is older than all of them. What is just being moved is seen twice.
function keep(path, time, id,   i) {
  if (kept == LATEST && time + 0 <= times[kept] + 0) return 0
  for (i = 1; i <= kept; i++) if (id != "" && ids[i] == id) return 1
  for (i = kept < LATEST ? ++kept : kept; i > 1 && times[i - 1] + 0 < time + 0; i--) {
    times[i] = times[i - 1]
    paths[i] = paths[i - 1]
    ids[i] = ids[i - 1]
  }
  times[i] = time
  paths[i] = path
  ids[i] = id
  return 1
}

# As much of an id as tells it from the others here, and at least what was typed.
function short(id,   i, alike) {
  for (i = 1; i <= kept; i++) alike += substr(ids[i], 1, 8) == substr(id, 1, 8)
  return alike > 1 || length(typed) > 8 ? id : substr(id, 1, 8)
}

# Reads the header of a message into header[]; false if there is none.
function open(path,   line, n, name, at) {
  split("", header)
  if (path == "") return 0
  while (n < LINES && (getline line < path) > 0) {
    sub(/\r$/, "", line)
    if (line == "") break
    n++
    if (line ~ /^[ \t]/) {
      if (name != "") header[name] = substr(header[name] line, 1, 4000)
    } else {
      at = index(line, ":")
      name = tolower(substr(line, 1, at - 1))
      if (name in header) name = ""
      else header[name] = substr(line, at + 1, 4000)
    }
  }
  close(path)
  return n > 0
}

function messageId(   text) {
  text = tolower(header["message-id"])
  sub(/^[ \t]*</, "", text)
  sub(/@p2p[.]invalid>[ \t]*$/, "", text)
  return isHex(text, 64) ? text : ""
}

function senderKey(   text) {
  text = header["from"]
  if (!match(text, /<[1-9A-Za-z]+@[Pp]2[Pp][.][Ii][Nn][Vv][Aa][Ll][Ii][Dd]>/)) return ""
  text = substr(text, RSTART + 1, RLENGTH - 14)
  return isKey(text) ? text : ""
}

# A name and the first words of the open message.
function tell(who,   subject) {
  subject = clean(words2047(header["subject"]), WIDTH)
  return subject == "" ? who : who ": " subject
}

# The name given here, else what the header calls it.
function sender(key,   text) {
  if (key != "") contact(key)
  if (key != "" && nameOf[key] != "") return nameOf[key]
  text = header["from"]
  sub(/[ \t]*<[^<>]*>[ \t]*$/, "", text)
  sub(/^[ \t]*"?/, "", text)
  sub(/"$/, "", text)
  return text == "" ? "somebody" : clean(words2047(text), 24)
}

function keyOf(name,   path, key) {
  while (("ls contacts 2>/dev/null" | getline path) > 0) {
    key = path
    if (!sub(/[.]json$/, "", key) || !isKey(key)) continue
    contact(key)
    if (nameOf[key] != "" && tolower(nameOf[key]) == tolower(name)) return key
  }
  return "-"
}

# Reads contacts/KEY.json into nameOf, blocked and verified, once.
function contact(key,   path, line, text) {
  if (key in nameOf) return
  nameOf[key] = ""
  path = "contacts/" key ".json"
  while (length(text) < 20000 && (getline line < path) > 0) text = text line " "
  close(path)
  blocked[key] = text ~ /"blocked"[ \t\r]*:[ \t\r]*true/
  verified[key] = text ~ /"verified"[ \t\r]*:[ \t\r]*"/
  if (!match(text, /"name"[ \t\r]*:[ \t\r]*"[^"]*"/)) return
  text = substr(text, RSTART + 6, RLENGTH - 7)
  sub(/^[^"]*"/, "", text)
  text = unescape(text)
  if (isName(text)) nameOf[key] = text
}

function isName(text,   odd) {
  odd = text
  gsub(/[A-Za-z0-9._+-]/, "", odd)
  return text != "" && odd !~ /[ -~]/ && text !~ /^[._+-]/ && clean(text, 64) == text
}

function isKey(text) {
  return length(text) >= 32 && length(text) <= 44 && text !~ /[^1-9A-Za-z]/
}

function isTime(text) {
  return text ~ /^[0-9]+$/ && length(text) < 18
}

function isHex(text, size) {
  return length(text) == size && text !~ /[^0-9a-f]/
}

# Text that a peer or another program wrote: decoded, and made fit for a terminal. Bytes in the C locale; chr, ord, BAD,
# DIGITS, HEX and WIDTH are those of home.awk.

# The \uXXXX of JSON; a name has no others.
function unescape(text,   out, at, i, code) {
  while ((at = index(text, chr[92] "u")) > 0) {
    code = 0
    for (i = 2; i < 6; i++) code = code * 16 + index(HEX, tolower(substr(text, at + i, 1))) - 1
    out = out substr(text, 1, at - 1) utf8(code)
    text = substr(text, at + 6)
  }
  return out text
}

function utf8(code) {
  if (code < 128) return code > 0 ? chr[code] : BAD
  if (code < 2048) return chr[192 + int(code / 64)] chr[128 + code % 64]
  return chr[224 + int(code / 4096)] chr[128 + int(code / 64) % 64] chr[128 + code % 64]
}

# Encoded words decoded (RFC 2047); what is in another charset stays as it is.
function words2047(text,   out, before, word, part, last) {
  while (match(text, /=[?][A-Za-z0-9_-]+[?][BbQq][?][^? \t]*[?]=/)) {
    before = substr(text, 1, RSTART - 1)
    word = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    if (!last || before !~ /^[ \t]*$/) out = out before
    last = 1
    split(word, part, "[?]")
    if (tolower(part[2]) !~ /^(utf-8|us-ascii)$/) out = out word
    else out = out (tolower(part[3]) == "b" ? base64(part[4]) : quoted(part[4]))
    if (length(out) > 4 * WIDTH) break
  }
  return out text
}

function base64(text,   out, i, digit, value, bits, size, byte) {
  for (i = 1; i <= length(text) && i < 400; i++) {
    digit = index(DIGITS, substr(text, i, 1)) - 1
    if (digit < 0) break
    value = value * 64 + digit
    bits += 6
    if (bits < 8) continue
    bits -= 8
    size = bits == 4 ? 16 : bits == 2 ? 4 : 1
    byte = int(value / size)
    value -= byte * size
    out = out (byte > 0 ? chr[byte] : BAD)
  }
  return out
}

function quoted(text,   out, at, code) {
  gsub(/_/, " ", text)
  while (match(text, /=[0-9A-Fa-f][0-9A-Fa-f]/)) {
    code = (index(HEX, tolower(substr(text, RSTART + 1, 1))) - 1) * 16
    code += index(HEX, tolower(substr(text, RSTART + 2, 1))) - 1
    out = out substr(text, 1, RSTART - 1) (code > 0 ? chr[code] : BAD)
    text = substr(text, RSTART + 3)
  }
  return out text
}

# One line of at most so many characters, fit for a terminal: as printable() in lib/base/text.ts, but what must not be
# printed becomes U+FFFD. Bytes that are not UTF-8 too.
function clean(text, most,   out, i, n, size, code, count) {
  gsub(/[ \t\r\n]+/, " ", text)
  sub(/^ /, "", text)
  sub(/ $/, "", text)
  if (text !~ /[^ -~]/) return length(text) > most ? substr(text, 1, most) "..." : text
  n = length(text)
  for (i = 1; i <= n; i += size) {
    if (count++ == most) return out "..."
    code = ord[substr(text, i, 1)]
    size = code < 128 ? 1 : code < 194 ? 0 : code < 224 ? 2 : code < 240 ? 3 : code < 245 ? 4 : 0
    code = size ? point(text, i, size, code) : -1
    if (code < 0) size = 1
    out = out (fits(code) ? substr(text, i, size) : BAD)
  }
  return out
}

# The code point of a character of so many bytes, -1 if it is none.
function point(text, at, size, code,   i, byte) {
  if (size == 1) return code
  code -= size == 2 ? 192 : size == 3 ? 224 : 240
  for (i = 1; i < size; i++) {
    byte = ord[substr(text, at + i, 1)]
    if (byte < 128 || byte > 191) return -1
    code = code * 64 + byte - 128
  }
  return (size == 3 && code < 2048) || (size == 4 && (code < 65536 || code > 1114111)) ? -1 : code
}

function fits(code) {
  if (code < 32 || code > 126 && code < 160 || code >= 55296 && code <= 57343) return 0
  if (code == 1564 || code == 8206 || code == 8207 || code >= 8232 && code <= 8238) return 0
  if (code >= 8294 && code <= 8303 || code == 65279 || code >= 65529 && code <= 65531) return 0
  return code != 65534 && code != 65535 && (code < 917504 || code > 917535)
}
'

# The words of the line before the cursor, without their quotes, in p2p_words; nothing is run for it. The last one is
# what is completed. What stands behind < and > is no argument.
_p2p_split() {
  local line=$1 word='' quoted='' char name redirect='' i
  p2p_words=() p2p_redirect=''
  [[ $line == *[![:blank:]]* ]] || return
  for ((i = 0; i < ${#line}; i++)); do
    char=${line:i:1}
    if [[ $quoted == "'" || ($quoted == '"' && $char != [\"\\\$]) ]]; then
      if [[ $char == "$quoted" ]]; then quoted=''; else word+=$char; fi
      continue
    fi
    case $char in
      \\) i=$((i + 1)) word+=${line:i:1} ;;
      \" | \') if [[ $quoted ]]; then quoted=''; else quoted=$char; fi ;;
      \$)
        name=${line:i+1}
        name=${name%%[!A-Za-z0-9_]*}
        if [[ $name == [A-Za-z_]* ]]; then word+=${!name-} i=$((i + ${#name})); else word+=$char; fi
        ;;
      '~') if [[ ! $word && ${line:i+1:1} == / ]]; then word=$HOME; else word+=$char; fi ;;
      '<' | '>') redirect=yes word='' ;;
      ' ' | $'\t')
        [[ ${line:i-1:1} != [[:blank:]\<\>] ]] || continue
        [[ $redirect ]] || p2p_words+=("$word")
        redirect='' word=''
        ;;
      *) word+=$char ;;
    esac
  done
  p2p_redirect=$redirect
  p2p_words+=("$word")
}

# The option of the list behind that is spelled so: `--attach/-a=file`, with a + in front if it may be repeated.
_p2p_find() {
  local spelled=$1 each names
  shift
  for each; do
    names=${each%%=*}
    [[ /${names#+}/ != *"/$spelled/"* ]] || { p2p_found=$each && return; }
  done
  return 1
}

# Lines `word TAB description` from the home: KIND TYPED [NAME].
_p2p_read() {
  local home=${p2p_home:-${P2P_HOME-}}
  [[ $home || ${XDG_DATA_HOME-} != /* ]] || home=$XDG_DATA_HOME/p2p
  [[ $home ]] || home=${HOME:+$HOME/.local/share/p2p}
  [[ $home ]] || return
  [[ $home == /* ]] || home=./$home
  (builtin cd -- "$home" && LC_ALL=C exec awk "$_p2p_awk" "$@") 2>/dev/null </dev/null
}

# Adds candidates that begin with what was typed, behind the PREFIX that a value may have, less what readline keeps.
_p2p_reply() {
  local prefix=$1 typed=$2 each
  shift 2
  for each; do
    each=$prefix$each
    [[ $each != "$prefix$typed"* ]] || COMPREPLY+=("${each#"$p2p_kept"}")
  done
}

# Parts of a text in p2p_parts: SEPARATOR TEXT.
_p2p_cut() {
  local rest=$2$1
  p2p_parts=()
  while [[ $rest ]]; do
    p2p_parts+=("${rest%%"$1"*}")
    rest=${rest#*"$1"}
  done
}

# Tells readline; not heard outside of a completion.
_p2p_tell() {
  compopt "$@" 2>/dev/null || :
}

# What is offered for an argument or a value: OFFER PREFIX TYPED.
_p2p_offer() {
  local offer=$1 prefix=$2 typed=$3 word told
  local -a words=() lines=() name
  case $offer in
    '') ;;
    :*)
      _p2p_cut '|' "${offer#:}"
      _p2p_reply "$prefix" "$typed" "${p2p_parts[@]}"
      ;;
    duration) _p2p_reply "$prefix" "$typed" 30s 5m 1h 1d 7d ;;
    time) _p2p_reply "$prefix" "$typed" 1h 1d 7d ;;
    command)
      mapfile -t words < <(compgen -c -- "$typed")
      _p2p_reply "$prefix" "$typed" "${words[@]}"
      ;;
    file | directory)
      # readline does it best, tilde and blanks included, if it looks at the value alone.
      if [[ $p2p_kept == "$prefix"* && $offer == file ]]; then
        _p2p_tell -o default
      elif [[ $p2p_kept == "$prefix"* ]]; then
        _p2p_tell -o dirnames
      else
        mapfile -t words < <(compgen "-${offer:0:1}" -- "$typed")
        _p2p_tell -o filenames
        _p2p_reply "$prefix" "$typed" "${words[@]}"
      fi
      ;;
    received | *new* | hold)
      name=()
      # p2p-send counts @N within the one recipient.
      [[ $offer != received || $p2p_command != p2p-send || ${#p2p_given[@]} != 1 ]] || name=("${p2p_given[@]}")
      while IFS=$'\t' read -r word told; do
        [[ $word != "$typed"* || " ${p2p_given[*]} " == *" $word "* ]] || words+=("$word") lines+=("$word"$'\t'"$told")
      done < <(_p2p_read "$offer" "$typed" "${name[@]}")
      _p2p_tell -o nosort
      # Only where readline lists and inserts at most what all have in common.
      if ((${#words[@]} > 1)) && [[ ${COMP_TYPE-} == @(33|63|64) ]]; then
        for told in "${lines[@]}"; do
          printf -v told '%-10s %s' "${told%%$'\t'*}" "${told#*$'\t'}"
          told=$prefix$told
          COMPREPLY+=("${told#"$p2p_kept"}")
        done
      else
        _p2p_reply "$prefix" "$typed" "${words[@]}"
      fi
      ;;
    *)
      while IFS=$'\t' read -r word told; do
        [[ " ${p2p_given[*]} " == *" $word "* ]] || words+=("$word")
      done < <(_p2p_read "$offer" "$typed")
      _p2p_reply "$prefix" "$typed" "${words[@]}"
      ;;
  esac
}

# What stands before the last word: command, verb, arguments given, options used, and what an option still wants.
_p2p_scan() {
  local word ended='' letters
  p2p_command=${p2p_words[0]##*/} p2p_verb='' p2p_home='' p2p_used=' ' p2p_given=() p2p_wanted='' p2p_ended=''
  _p2p_table "$p2p_command" ''
  local -i i
  for ((i = 1; i < ${#p2p_words[@]} - 1; i++)); do
    word=${p2p_words[i]}
    if [[ $p2p_wanted ]]; then
      [[ $p2p_wanted != --home=* ]] || p2p_home=$word
      p2p_wanted=''
    elif [[ $ended || $word != -?* ]]; then
      if [[ $p2p_command == p2p && ! $p2p_verb && " ${p2p_commands[*]} " == *" p2p-$word "* ]]; then
        p2p_command=p2p-$word
        _p2p_table "$p2p_command" ''
      elif [[ ! $p2p_verb && ${#p2p_verbs[@]} -gt 0 ]]; then
        p2p_verb=$word
        _p2p_table "$p2p_command" "$p2p_verb"
      else
        p2p_given+=("$word")
      fi
    elif [[ $word == -- ]]; then
      ended=yes
    elif [[ $word == --* ]]; then
      _p2p_find "${word%%=*}" "${p2p_all[@]}" || continue
      p2p_used+="${p2p_found%%[/=]*} "
      if [[ $p2p_found == *=* && $word != *=* ]]; then p2p_wanted=$p2p_found; fi
      [[ $word != --home=* ]] || p2p_home=${word#*=}
    else
      for ((letters = 1; letters < ${#word}; letters++)); do
        _p2p_find "-${word:letters:1}" "${p2p_all[@]}" || break
        p2p_used+="${p2p_found%%[/=]*} "
        [[ $p2p_found == *=* ]] || continue
        if ((letters == ${#word} - 1)); then p2p_wanted=$p2p_found; fi
        break
      done
    fi
  done
  p2p_ended=$ended
}

# Options of the verb; one that was used is not offered again unless it may be repeated.
_p2p_dashes() {
  local typed=$1 each name letters
  if [[ $typed == --*=* ]]; then
    if _p2p_find "${typed%%=*}" "${p2p_options[@]}" && [[ $p2p_found == *=* ]]; then
      _p2p_offer "${p2p_found#*=}" "${typed%%=*}=" "${typed#*=}"
    fi
  elif [[ $typed == -[!-]* ]]; then
    for ((letters = 1; letters < ${#typed}; letters++)); do
      _p2p_find "-${typed:letters:1}" "${p2p_options[@]}" || return
      if [[ $p2p_found == *=* && letters -lt $((${#typed} - 1)) ]]; then
        _p2p_offer "${p2p_found#*=}" "${typed:0:letters+1}" "${typed:letters+1}"
        return
      fi
    done
    _p2p_reply '' "$typed" "$typed"
  else
    for each in "${p2p_options[@]}"; do
      [[ $each == +* || $p2p_used != *" ${each%%[/=]*} "* ]] || continue
      name=${each%%=*}
      _p2p_cut / "${name#+}"
      for name in "${p2p_parts[@]}"; do
        [[ $name != --* ]] || _p2p_reply '' "$typed" "$name"
      done
    done
  fi
}

_p2p() {
  local IFS=$' \t\n' p2p_command p2p_verb p2p_home p2p_used p2p_wanted p2p_ended p2p_found p2p_redirect p2p_kept=''
  local -a p2p_words p2p_parts p2p_given p2p_all p2p_verbs p2p_options p2p_arguments
  local line=${COMP_LINE-} typed at
  COMPREPLY=()
  if [[ $line ]]; then line=${line:0:COMP_POINT}; else line="${COMP_WORDS[*]:0:COMP_CWORD+1}"; fi
  _p2p_split "$line"
  ((${#p2p_words[@]} > 1)) || return 0
  typed=${p2p_words[-1]}
  # readline keeps what stands before the last break, such as the `--reply=` of `--reply=3f`.
  at=${2-$typed}
  at=${at//\\/}
  if [[ $typed == *"$at" ]]; then p2p_kept=${typed%"$at"}; fi
  _p2p_scan
  if [[ $p2p_redirect ]]; then
    _p2p_tell -o default
  elif [[ $p2p_wanted ]]; then
    _p2p_offer "${p2p_wanted#*=}" '' "$typed"
  elif [[ $typed == -* && ! $p2p_ended ]]; then
    _p2p_dashes "$typed"
  elif [[ ! $p2p_verb && ${#p2p_verbs[@]} -gt 0 ]]; then
    _p2p_reply '' "$typed" "${p2p_verbs[@]}"
  else
    at=${#p2p_given[@]}
    if ((at >= ${#p2p_arguments[@]} && ${#p2p_arguments[@]} > 0)) && [[ ${p2p_arguments[-1]} == *... ]]; then
      at=$((${#p2p_arguments[@]} - 1))
    fi
    typed=${p2p_arguments[at]-}
    _p2p_offer "${typed%...}" '' "${p2p_words[-1]}"
  fi
  return 0
}

complete -F _p2p "${p2p_commands[@]}"
